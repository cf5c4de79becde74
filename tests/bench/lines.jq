# SPDX-License-Identifier: Apache-2.0
# bench.json as a table; a part that was left out or failed has no line.
def places(n): . * pow(10; n) | round / pow(10; n);
def ms: . * 1000 | round | "\(.) ms";
def part(lines): if . then lines else empty end;

"machine              \(.cpu)",
(.train | part(
    "                     \(.threads) threads, \(.dtype)",
    "training             \(.tokens_per_s | round) tokens/s, \(.gflops | round) GFLOP/s (median of \(.steps) steps of \(.tokens_a_step) tokens)",
    "matrix products      \(.gemm_gflops | round) GFLOP/s",
    "fraction             \(.fraction_of_gemm | places(3))",
    "of a step            forward \(.seconds.forward | ms), backward \(.seconds.backward | ms), optimizer \(.seconds.optimizer | ms)")),
(.torch | part(
    "PyTorch \(.torch | split("+")[0])       \(.best.tokens_per_s | round) tokens/s (\(.best.dtype), \(.best.mode), micro-batches of \(.best.micro_batch), \(.best.padding * 100 | round) % padding)",
    "  fraction           \(.fraction_of_gemm | places(3)) of \(.gemm_gflops | round) GFLOP/s",
    "  first loss         differs by \(.first_loss_differs * 100 | places(3)) %",
    "  we are             \(.we_over_it | places(2)) times as fast")),
(.startup | part(
    "start of a run       \(.until_first_step_s | places(2)) s until the first step is done, \(.over_later_step_s | places(2)) s over a later step")),
(.save | part(
    "a checkpoint         \(.alone_MB_s | round) MB/s, \(.alone_over_dd | places(2)) of dd with fsync (\(.dd_MB_s | round) MB/s); \(.MiB) MiB",
    "  beside training    \(.beside_training_MB_s | round) MB/s, \(.beside_training_over_dd | places(2)) of dd; the next step (\(.step_s | places(2)) s) waited \(.waited_s | places(2)) s")),
(.ranks | part(
    "two ranks, ZeRO-1    \(.ratio | places(3)) times one rank (\(.two_tokens_per_s | round) and \(.one_tokens_per_s | round) tokens/s, one thread each, steps of \(.tokens_a_step) tokens)",
    "  communication      runs in \(.communication * 100 | places(1)) % of a step, is not hidden in \(.not_hidden * 100 | places(1)) %")),
(.data | part(
    "sft-tokenize         \(.tokenize_MB_s | places(1)) MB/s of JSON",
    "sft-template         \(.template_MB_s | places(1)) MB/s",
    "sft-pack             \(.pack_MB_s | places(1)) MB/s",
    "the three in a pipe  \(.pipe_MB_s | places(1)) MB/s",
    "dense packing        \(.dense_density * 100 | places(2)) % of the rows filled"))
