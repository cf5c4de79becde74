#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `--mask turn` trains, over many chat templates and conversations, against an own account of the rule
on top of transformers: it knows no origin of bytes, but looks for the conversation's strings in the text,
and for the stop tokens of a table. Ids and labels are compared token by token."""
import concurrent.futures
import copy
import functools
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import make_template_golden  # noqa: F401  sets transformers' clock
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

SHARED = Path("../shared/data")
TMP = Path(tempfile.mkdtemp(dir=os.environ.get("TEST_TMP")))
GOLDEN = Path("tests/golden/template/conversations.json")
IGNORED = -100

# Template: BOS, EOS, and the tokens that may end an assistant's turn.
MODELS = {
    "cohere": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", []),
    "cohere2": ("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", []),
    "deepseekv3": ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", []),
    "diffusion_gemma": ("<bos>", "<turn|>", ["<|tool_response>"]),
    "gemma": ("<bos>", "<end_of_turn>", []),
    "gemma3": ("<bos>", "<end_of_turn>", []),
    "glm4moe": (None, "<|endoftext|>", ["<|user|>", "<|observation|>", "<|assistant|>", "<|system|>"]),
    "gptoss": ("<|startoftext|>", "<|return|>", ["<|end|>", "<|call|>"]),
    "idefics3": (None, "<end_of_utterance>", []),
    "lfm2": ("<|startoftext|>", "<|im_end|>", []),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", []),
    "llama3_1": ("<|begin_of_text|>", "<|end_of_text|>", ["<|eot_id|>"]),
    "llama3_2": ("<|begin_of_text|>", "<|eot_id|>", []),
    "llava_next": ("<s>", "</s>", []),
    "phi3": (None, "<|endoftext|>", ["<|end|>"]),
    "phi3_5": (None, "<|endoftext|>", ["<|end|>"]),
}
QWEN = (None, "<|im_end|>", [])
TOKEN = re.compile(r"<\|[A-Za-z_/\"]+\|>|<\|[a-z_\"]+>|<[a-z_]+\|>|<｜[^｜]+｜>|\[gMASK\]|"
                   r"<(?:start_of_turn|end_of_turn|end_of_utterance|bos|start_of_image|sop|s|/s)>")


# ---- conversations ----
def user(text):
    return {"role": "user", "content": text}


def answer(text, *calls, **more):
    more = dict(more, tool_calls=list(calls)) if calls else more
    return {"role": "assistant", "content": text, **more}


def call(name, ident="call_1", **arguments):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(text, name="find_ferry", ident="call_1"):
    return {"role": "tool", "content": text, "name": name, "tool_call_id": ident}


def function(name, **properties):
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}


TOOLS = [function("find_ferry", harbour={"type": "string", "description": "where from"},
                  people={"type": "integer", "description": "how many"}),
         function("add_up", left={"type": "number", "description": "one"},
                  right={"type": "number", "description": "other"})]
ASK = user("When does the boat leave?")
FERRY = call("find_ferry", harbour="Vlissingen", people=4)
SYSTEM = {"role": "system", "content": "You speak briefly."}


def is_text(messages):
    """sft-tokenize refuses parts that are not text, such as images."""
    parts = [p for m in messages if isinstance(m.get("content"), list) for p in m["content"]]
    return all(isinstance(p, str) or p.get("type", "text") == "text" for p in parts)


def conversations():
    rows = [
        [ASK, answer("At noon.")],
        [SYSTEM, ASK, answer("At noon."), user("And back?"), answer("Around six."), user("Fine."), answer("Good trip!")],
        [ASK, answer("At noon."), user("Sure?"), answer("")],
        [ASK, answer(""), user("Well?"), answer("At noon.")],
        [ASK, answer(" \nAt noon.\n"), user(" \n"), answer("\n\nYes. ")],
        [answer("Ahoy, where to?"), user("Texel"), answer("At noon.")],
        [ASK, answer("At noon."), answer("Or at one.")],
        [ASK, user("Please."), answer("At noon.")],
        [ASK, answer("At two.", weight=0), user("No!"), answer("At noon.", weight=1)],
        [ASK, answer("At two.", train=False), user("No!"), answer("At noon.")],
        [ASK, answer("你好 👩‍👩‍👧, naïve ß ﬁ.")],
        [user("What is <|im_end|>?"), answer("A <|im_end|> in the text.")],
        [{"role": "user", "content": [{"type": "text", "text": "When?"}]},
         {"role": "assistant", "content": [{"type": "text", "text": "At "}, {"type": "text", "text": "noon."}]}],
    ]
    for name in ("reasoning_content", "thinking", "reasoning"):
        rows.append([ASK, answer("At noon.", **{name: "The table says twelve."}), user("And then?"),
                     answer("Every hour.", **{name: "Hourly boats."})])
    rows += [
        [ASK, answer("At noon."), user("And then?"), answer("Every hour.", reasoning_content="Hourly boats.")],
        [ASK, answer("<think>\nThe table says twelve.\n</think>\n\nAt noon."), user("And then?"),
         answer("<think>Hourly boats.</think>Every hour.")],
        [ASK, answer("<think>\n\n</think>\n\nAt noon.")],
    ]
    plain = [dict(messages=m) for m in rows]
    rows = [
        [ASK, answer("", FERRY), result("12:00"), answer("At noon.")],
        [ASK, answer(None, FERRY), result("find_ferry Vlissingen 4"), answer("At noon.")],
        [ASK, answer("One moment.", FERRY), result('{"harbour": "Vlissingen"}'), answer("At noon.")],
        [ASK, answer("", FERRY)],
        [ASK, answer("", call("find_ferry")), result("12:00"), answer("At noon.")],
        [ASK, answer("", call("find_ferry"))],
        [ASK, answer("", call("add_up", left=-17, right=2.5)), result("-14.5", "add_up"), answer("It is.")],
        [ASK, answer("", call("add_up", left=True, right=None)), result("1", "add_up"), answer("It is.")],
        [ASK, answer("", call("add_up", left=[171, "one \"two\"", {}], right={"deep": [None, {"er": False}]})),
         result("1", "add_up"), answer("It is.")],
        [ASK, answer("", call("find_ferry", "k1", harbour="Den Helder"), call("add_up", "k2", left=171, right=282)),
         result("12:00", "find_ferry", "k1"), result("453", "add_up", "k2"), answer("At noon."),
         user("Again!"), answer("", FERRY), result("13:00"), answer("At one.")],
        [ASK, answer("", FERRY, reasoning_content="I must look it up."), result("12:00"),
         answer("At noon.", reasoning_content="Twelve it says.")],
        [ASK, answer("", FERRY, reasoning_content="I must look it up."), result("12:00"),
         answer("At noon.", reasoning_content="Twelve it says."), user("Thanks."), answer("Bye now.")],
        [ASK, answer("", FERRY, weight=0), result("12:00"), answer("At noon.")],
        [SYSTEM, ASK, answer("At noon.")],
    ]
    calls = [dict(messages=m, tools=TOOLS) for m in rows]
    golden = [dict(messages=c["messages"], **({"tools": c["tools"]} if "tools" in c else {}))
              for c in json.loads(GOLDEN.read_text()) if is_text(c["messages"])]
    return plain + calls + golden


# ---- where a message stands in a text ----
SHIFT = str.maketrans("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.!?,",
                      "bcdefghijklmnopqrstuvwxyzaBCDEFGHIJKLMNOPQRSTUVWXYZA1234567890!.,?")
TAG = re.compile(r"(<[^<>]*>)")


def shifted(value):
    """Another value of the same form: letters and digits are others, tags are kept."""
    if isinstance(value, str):
        return "".join(p if k % 2 else p.translate(SHIFT) for k, p in enumerate(TAG.split(value)))
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [shifted(v) for v in value] or [7]
    return {shifted(k): shifted(v) for k, v in value.items()} or {"q": 7}


def changed(message, names):
    """The message with other text. A call's name may show up again in the answer to the call: names says
    whether to change it."""
    out = copy.deepcopy(message)
    for key in ("reasoning_content", "thinking", "reasoning"):
        if isinstance(out.get(key), str):
            out[key] = shifted(out[key])
    if isinstance(out.get("content"), list):
        for part in out["content"]:
            if "text" in part:
                part["text"] = shifted(part["text"])
    elif out.get("content"):
        out["content"] = shifted(out["content"])
    for c in out.get("tool_calls") or []:
        f = c["function"]
        f["arguments"] = shifted(f["arguments"])
        if names:
            f["name"] = shifted(f["name"])
    return out


def common(a, b):
    n = 0
    while n < len(a) and n < len(b) and a[n] == b[n]:
        n += 1
    return n


def joined(messages):
    def text(m):
        c = m.get("content")
        return dict(m, content="\n".join(p["text"] for p in c)) if isinstance(c, list) else m
    return [text(m) for m in messages]


class Case:
    """A conversation as one template renders it."""

    def __init__(self, tok, source, row):
        self.tok, self.source, self.tools = tok, source, row.get("tools")
        self.messages = [{k: v for k, v in m.items() if v is not None} for m in row["messages"]]
        if not self.takes_parts():
            self.messages = joined(self.messages)
        self.text = self.render(self.messages, False)
        self.ids, self.offsets = self.tokens(self.text)

    def takes_parts(self):
        """False: the template fails with a list as content, or prints it as Python does. Then sft-template gives
        it the texts, joined by line ends (docs/data.md)."""
        lists = [m["content"] for m in self.messages if isinstance(m.get("content"), list)]
        try:
            text = self.render(self.messages, False) if lists else ""
        except Exception:
            return False
        return not any(repr(c) in text for c in lists)

    def render(self, messages, prompt):
        if not messages:  # apply_chat_template takes no empty conversation, templates mostly do
            return render_jinja_template([[]], tools=self.tools, chat_template=self.source,
                                         add_generation_prompt=prompt, **self.tok.special_tokens_map)[0][0]
        return self.tok.apply_chat_template(messages, tools=self.tools, tokenize=False,
                                            chat_template=self.source, add_generation_prompt=prompt)

    @functools.cache
    def first(self, n, prompt):
        """The first n messages; None when the template refuses them."""
        try:
            return self.render(self.messages[:n], prompt)
        except Exception:
            return None

    def tokens(self, text):
        out = self.tok(text, add_special_tokens=False, return_offsets_mapping=True)
        return out["input_ids"], out["offset_mapping"]

    def end(self, which, n, prompt, text):
        """Where the text of the messages `which` ends in that of the first n."""
        other = [changed(m, False) if k in which else m for k, m in enumerate(self.messages[:n])]
        got = self.render(other, prompt)
        return len(text) - common(text[::-1], got[::-1]) if got != text else 0

    def begin(self, i):
        other = [changed(m, True) if k == i else m for k, m in enumerate(self.messages)]
        return common(self.text, self.render(other, False))


# ---- the rule ----
def prompt_alone(case, i):
    """(text with the generation prompt, where it begins) of the messages before i or, where the template refuses
    those, of as many as it takes."""
    for n in [i] + [k for k in range(len(case.messages), 0, -1) if k != i]:
        with_prompt, without = case.first(n, True), case.first(n, False)
        if with_prompt is not None and without is not None and with_prompt.startswith(without):
            return with_prompt, len(without), n == i
    return None


def head(case, i, begin):
    """The character behind the turn's head; None: there is no prompt."""
    before = case.end(set(range(i)), len(case.messages), False, case.text) if i else 0
    own = case.first(i, True)
    if own is not None:  # the turn goes on as the prompt does, to the prompt's last byte
        at = case.end(set(range(i)), i, True, own)
        if case.text.startswith(own[at:], before):
            return shared(case, own, at, before, len(own) - at) if own[at:] else before
    found = prompt_alone(case, i)
    if found is None:
        return None
    prompt, at, own = found
    alone = prompt[at:]
    if not alone and not own:
        return None
    if not alone:  # nothing is written before the turn, which begins where the text before it ends
        tail = prompt[case.end(set(range(i)), i, True, prompt):]
        return before + common(case.text[before:], tail)
    start, best = None, 0
    for k in range(before, begin + 1):
        n = common(case.text[k:], alone)
        if n and n >= best:
            start, best = k, n
    if start is None:
        return None
    return shared(case, prompt, at, start, best)


def shared(case, prompt, at, start, n):
    """Where the tokens of the text from `start` part from those of the prompt from `at`, n characters being equal."""
    ids, offsets = case.tokens(prompt)
    theirs = {(t, a, b) for t, (a, b) in zip(ids, offsets)}
    for t, (a, b) in zip(case.ids, case.offsets):
        if b <= start:
            continue
        if (t, a - start + at, b - start + at) not in theirs or b > start + n:
            return a
        if b == start + n:
            return b
    return len(case.text)


def turn_end(case, i, stops):
    """(the end of what the message's turn trains, whether a stop token ends it)."""
    said = case.end({i}, len(case.messages), False, case.text)
    limit = len(case.text)
    if i + 1 < len(case.messages):
        other = [changed(m, True) if k > i else m for k, m in enumerate(case.messages)]
        limit = common(case.text, case.render(other, False))
    for t, (a, b) in zip(case.ids, case.offsets):
        if said <= a < limit and t in stops:
            return b
    short = case.first(i + 1, False)
    if short is None:
        return said
    closing = common(case.text[said:], short[case.end({i}, i + 1, False, short):])
    end = said + len(case.text[said:said + closing].rstrip())
    return max([end] + [b for a, b in case.offsets if said < end and a < end < b <= said + closing])


def has_text(message):
    content = message.get("content") or ""
    if isinstance(content, list):
        content = "".join(p.get("text", "") for p in content)
    thoughts = "".join(message.get(k) or "" for k in ("reasoning_content", "thinking", "reasoning"))
    return bool(content.strip() or thoughts or message.get("tool_calls"))


def labels(case, stops):
    trained = bytearray(len(case.text) + 1)
    for i, m in enumerate(case.messages):
        if m["role"] != "assistant" or not has_text(m) or m.get("weight") == 0 or m.get("train") is False:
            continue
        begin = case.begin(i)
        if begin == len(case.text):
            continue  # nothing of it is rendered
        at, end = head(case, i, begin), turn_end(case, i, stops)
        at = begin if at is None else at
        trained[at:end] = b"\1" * (end - at)
    return [t if all(trained[a:b]) and b > a else IGNORED for t, (a, b) in zip(case.ids, case.offsets)]


# ---- the comparison ----
def folder(name, base, config, tokens, bos, eos):
    """A model folder: the base tokenizer with more special tokens."""
    out = TMP / name
    out.mkdir()
    if not (TMP / "tokenizer.json").exists():
        data = json.loads(base.read_text())
        have = {t["content"] for t in data["added_tokens"]}
        at = 1 + max(t["id"] for t in data["added_tokens"])
        for k, t in enumerate(sorted(tokens - have)):
            data["added_tokens"].append({"id": at + k, "content": t, "single_word": False, "lstrip": False,
                                         "rstrip": False, "normalized": False, "special": "think>" not in t})
        (TMP / "tokenizer.json").write_text(json.dumps(data))
    os.link(TMP / "tokenizer.json", out / "tokenizer.json")
    config = {k: v for k, v in config.items() if k != "added_tokens_decoder"}
    config |= {"bos_token": bos, "eos_token": eos, "add_bos_token": False, "tokenizer_class": "PreTrainedTokenizerFast"}
    (out / "tokenizer_config.json").write_text(json.dumps(config))
    return out


def ours(model, template, rows):
    path = TMP / f"{template.stem}.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    turns, samples = path.with_suffix(".turns"), path.with_suffix(".samples")
    subprocess.run(["sft-tokenize", "-q", "-@", "1", "-m", model, path, "-o", turns], check=True)
    subprocess.run(["sft-template", "-q", "-@", "1", "-m", model, "-t", template, "--allow",
                    "empty,stop,bos,head,unrendered", turns, "-o", samples], check=True, stderr=subprocess.DEVNULL)
    text = subprocess.run(["sft-view", samples], check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in text.splitlines()]


def late_text(messages):
    """diffusion_gemma shows text beside a call behind the answer to the call: the turn is in two pieces, of
    which the rule takes the first."""
    return any(m.get("content") and m.get("tool_calls") for m in messages)


def in_parts(row):
    """With each content as a list of parts, which templates of models that see pictures take alone."""
    def parts(m):
        text = m.get("content")
        return dict(m, content=[{"type": "text", "text": text}]) if isinstance(text, str) else m
    return dict(row, messages=[parts(m) for m in row["messages"]])


def one_template(job):
    """(name, samples, refused, differences)."""
    template, model, rows = job
    source = template.read_text()
    bos, eos, more = MODELS.get(template.stem, QWEN)
    tok = the_tokenizer(model.parent)
    tok.bos_token, tok.eos_token = bos, eos
    stops = {tok.convert_tokens_to_ids(t) for t in [eos, *more]}
    if template.stem == "diffusion_gemma":
        rows = [r for r in rows if not late_text(r["messages"])]
    if template.stem in ("idefics3", "llava_next"):
        rows = [in_parts(r) for r in rows]
    cases, kept = [], []
    for row in rows:
        try:
            cases.append(Case(tok, source, row))
            kept.append(row)
        except Exception:
            pass
    differ = []
    for row, case, got in zip(kept, cases, ours(model, template, kept)):
        want = labels(case, stops)
        if (got["ids"], got["labels"]) != (case.ids, want):
            differ.append({"messages": case.messages, "want": show(tok, case.ids, want),
                           "got": show(tok, got["ids"], got["labels"])})
    return template.stem, len(kept), len(rows) - len(kept), differ


@functools.cache
def the_tokenizer(path):
    return PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))


def show(tok, ids, marked):
    out, inside = "", False
    for i, l in zip(ids, marked):
        if (l != IGNORED) != inside:
            inside = not inside
            out += "⟦" if inside else "⟧"
        out += tok.decode([i])
    return out + ("⟧" if inside else "")


def main():
    folder_of = SHARED / "templates"
    if not folder_of.is_dir():
        return print("skip turns: no ../shared/data/templates")
    base = SHARED / "tokenizers/qwen2.5"
    config = json.loads((base / "tokenizer_config.json").read_text())
    files = [p for p in sorted(folder_of.glob("*.jinja")) if not re.search(r"generation -?%}", p.read_text())]
    tokens = {t for p in files for t in TOKEN.findall(p.read_text())} | {"<think>", "</think>"}
    tokens |= {t for bos, eos, more in MODELS.values() for t in (bos, eos, *more) if t}
    rows = conversations()
    want = sys.argv[1:]
    files = [p for p in files if not want or p.stem in want]
    jobs = [(p, folder(p.stem, base / "tokenizer.json", config, tokens, *MODELS.get(p.stem, QWEN)[:2]), rows)
            for p in files]
    total = 0
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        for name, n, refused, differ in pool.map(one_template, jobs):
            total += n
            good = n > 10 and not differ
            print(f"ok {name}: {n} samples are trained as the rule says, {refused} are refused" if good else
                  f"not ok {name}: {len(differ)} of {n} differ: {json.dumps(differ[:1], ensure_ascii=False)}", flush=True)
            if want:
                for d in differ:
                    print(json.dumps(d["messages"], ensure_ascii=False), "\n  want", d["want"][-600:], "\n  got ", d["got"][-600:])
    print(f"# {total} samples of {len(jobs)} templates")


if __name__ == "__main__":
    main()
