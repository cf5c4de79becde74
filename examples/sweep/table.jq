# The summaries of the cells as a table, the least validation loss first.
def cell: input_filename | capture("lr-(?<lr>[^_/]*)_rank-(?<rank>[0-9]+)/summary.json$");
def short: if type == "number" then . * 10000 | round / 10000 else . end;
["lr", "rank", "val loss", "before", "train loss", "tokens/s"],
([inputs | . + cell] | sort_by(.val_loss_after)[] |
    [.lr, .rank, .val_loss_after, .val_loss_before, .loss, .tokens_per_s] | map(short)) | @tsv
