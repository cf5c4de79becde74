# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/hf/gguf_export/: small models' config.json, and what llama.cpp makes of them.

FAMILY.tsv lists the metadata and tensors of the GGUF files that llama.cpp's converter writes of the
model that `sft-ckpt init` makes of FAMILY.json; and of those that its llama_model_quantize makes of
the f32 file. quants.tsv has rows of fp32 and the blocks that this makes of them. spm/ has a tokenizer
that sentencepiece trained, as tokenizer.json, and spm.tsv what the converter makes of its tokenizer.model.
Usage: make_gguf_export_golden.py LLAMA_CPP, a folder with llama.cpp's convert_hf_to_gguf.py (the
source package of llama-cpp-python has it), in the oracle's environment with sentencepiece and xxhash
besides. The converter knows pre-tokenizers by what they make of one text; the name of this one is
told to it."""
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cyllama
import gguf
import numpy as np
import sentencepiece
import xxhash
from cyllama.llama import llama_cpp
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
from transformers.convert_slow_tokenizer import generate_merges

llama = Path(sys.argv[1])
out = Path("tests/golden/hf/gguf_export")
tmp = Path(tempfile.mkdtemp())
BASE = {"vocab_size": 1664, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
        "torch_dtype": "bfloat16"}
FAMILIES = {
    "llama": {"architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True, "rope_theta": 500000.0,
              "max_position_embeddings": 131072,
              "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                               "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}},
    "mistral": {"architectures": ["MistralForCausalLM"], "tie_word_embeddings": False, "head_dim": 32,
                "rope_theta": 1000000.0, "sliding_window": None},
    "qwen2": {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, "rope_theta": 1000000.0,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}},
    "qwen3": {"architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": False, "head_dim": 32,
              "rope_theta": 1000000.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
}
PLAIN = ("f32", "f16", "bf16", "q8_0")
QUANTIZED = {"q4_0": 2, "q6_k": 18, "q4_k": 14}
PATCH = ("import sys, runpy; sys.path.insert(0, '.'); import conversion.base as b; "
         "b.TextModel.get_vocab_base_pre = lambda self, t: 'qwen2'; sys.argv = sys.argv[1:]; "
         "runpy.run_path('convert_hf_to_gguf.py', run_name='__main__')")


def shown(field):
    """A value as tests/unit/gguf_export.c prints it."""
    kind = field.types[0].name
    if kind == "ARRAY":
        raw = b"".join(p.tobytes() for p in field.parts[5:])
        return f"array {field.types[1].name} {len(field.data)} {xxhash.xxh64_hexdigest(raw)}"
    if kind == "STRING":
        raw = field.parts[-1].tobytes()
        return f"string {len(raw)} {xxhash.xxh64_hexdigest(raw)}"
    raw = field.parts[-1].tobytes()
    return f"{kind} {int.from_bytes(raw, 'little')}"


def listing(path, metadata):
    reader = gguf.GGUFReader(path)
    for key, field in sorted(reader.fields.items()):
        if metadata and not key.startswith("GGUF.") and key != "general.name":
            yield f"{key}\t{shown(field)}"
    for t in sorted(reader.tensors, key=lambda t: t.name):
        shape = "x".join(str(n) for n in t.shape)
        yield f"{t.name}\t{t.tensor_type.name} {shape} {xxhash.xxh64_hexdigest(t.data.tobytes())}"


def quantize(source, target, ftype, pure=False):
    params = llama_cpp.LlamaModelQuantizeParams()
    params.ftype, params.nthread, params.pure = ftype, 1, pure
    llama_cpp.model_quantize(str(source), str(target), params)


def family(name):
    folder = tmp / name
    (out / f"{name}.json").write_text(json.dumps({**BASE, "model_type": name, **FAMILIES[name]}, indent=1) + "\n")
    subprocess.run(["sft-ckpt", "init", "-q", out / f"{name}.json", "--tokenizer", "share/tiny-tokenizer",
                    "--seed", "7", "-o", folder], check=True)
    with (out / f"{name}.tsv").open("w") as f:
        print(versions, file=f)
        for t in PLAIN:
            file = tmp / f"{name}-{t}.gguf"
            subprocess.run([sys.executable, "-c", PATCH, "convert", "--outtype", t, "--outfile", file, folder],
                           cwd=llama, check=True, stderr=subprocess.DEVNULL)
            print(*(f"{t}\t{line}" for line in listing(file, True)), sep="\n", file=f)
        for t, number in QUANTIZED.items():
            file = tmp / f"{name}-{t}.gguf"
            quantize(tmp / f"{name}-f32.gguf", file, number)
            # Q4_K_S has tensors of five bits in the first layers, which q4_k has not
            lines = [s for s in listing(file, False) if t != "q4_k" or not "\tQ5_1 " in s and not "\tQ5_K " in s]
            print(*(f"{t}\t{line}" for line in lines), sep="\n", file=f)


def rows():
    """Rows of 256: ordinary, skewed, of one sign, with zeros and equal elements, tiny, with outliers."""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(14, 256)) * 0.05).astype(np.float32)
    x[1] = rng.standard_t(2, size=256) * 0.01
    x[2], x[3] = abs(x[2]), -abs(x[3])
    x[4, 32:96] = 0
    x[5], x[6] = 0, 0.25
    x[7] *= 1e-7
    x[8] = np.round(x[8] * 40)
    x[9, ::37] *= 30
    x[10] *= 1e-17
    x[11] *= 2e4
    x[12, :128] *= 1e-4
    x[13] = (x[13].view(np.uint32) & 0xffff0000).view(np.float32)
    return x


def quants():
    x = rows()
    writer = gguf.GGUFWriter(tmp / "rows.gguf", "llama")
    for key, value in (("block_count", 1), ("context_length", 64), ("embedding_length", 256),
                       ("feed_forward_length", 256), ("attention.head_count", 4)):
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_file_type(0)
    writer.add_tensor("token_embd.weight", x)
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    with (out / "quants.tsv").open("w") as f:
        print(versions, file=f)
        print("F32", x.tobytes().hex(), sep="\t", file=f)
        for name, number in (("F16", 1), ("BF16", 32), ("Q4_0", 2), ("Q5_0", 8), ("Q8_0", 7), ("Q4_K", 14),
                             ("Q6_K", 18)):
            quantize(tmp / "rows.gguf", tmp / "blocks.gguf", number, pure=True)
            t = gguf.GGUFReader(tmp / "blocks.gguf").tensors[0]
            assert t.tensor_type.name == name
            print(name, t.data.tobytes().hex(), sep="\t", file=f)


def trained(model):
    """Writes the tokenizer in spm/ with the pieces of that sentencepiece model, as transformers does."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=f"{model}.model")
    scores = {pieces.id_to_piece(i): pieces.get_score(i) for i in range(pieces.vocab_size())}
    vocab = {p: i for i, p in enumerate(scores)}
    normal = {p: s for p, s in scores.items() if vocab[p] > 258}
    tok = Tokenizer(models.BPE(vocab=vocab, merges=generate_merges(normal, normal), unk_token="<unk>",
                               fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tok.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    tok.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                     decoders.Strip(" ", 1, 0)])
    tok.add_special_tokens([AddedToken(t, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    tok.add_tokens([AddedToken("<tool>", normalized=False)])
    (out / "spm").mkdir(exist_ok=True)
    text = json.dumps(json.loads(tok.to_str()), ensure_ascii=False, separators=(",", ":"))
    (out / "spm/tokenizer.json").write_text(text + "\n")
    config = {"add_bos_token": True, "add_eos_token": False, "add_prefix_space": True, "bos_token": "<s>",
              "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer",
              "chat_template": "{% for m in messages %}{{ bos_token + '[' + m['role'] + '] ' + m['content'] + "
                               "eos_token }}{% endfor %}"}
    (out / "spm/tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def spm():
    folder = tmp / "spm"
    sentencepiece.SentencePieceTrainer.train(
        input="tests/oracle/tiny_corpus.txt", model_prefix=str(tmp / "pieces"), model_type="bpe", vocab_size=900,
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True, minloglevel=2)
    trained(tmp / "pieces")
    subprocess.run(["sft-ckpt", "init", "-q", out / "llama.json", "--tokenizer", out / "spm", "--seed", "7",
                    "-o", folder], check=True)
    shutil.copy(tmp / "pieces.model", folder / "tokenizer.model")
    (folder / "added_tokens.json").write_text(json.dumps({"<tool>": 900}))
    file = tmp / "spm.gguf"
    subprocess.run([sys.executable, "convert_hf_to_gguf.py", "--outtype", "f32", "--outfile", file, folder],
                   cwd=llama, check=True, stderr=subprocess.DEVNULL)
    with (out / "spm.tsv").open("w") as f:
        print(versions, file=f)
        lines = (s for s in listing(file, True) if s.startswith("tokenizer.") and "add_sep_token" not in s)
        print(*(f"f32\t{s}" for s in lines), sep="\n", file=f)  # without the key that BERT's models have


versions = (f"# llama.cpp's converter of {llama.parent.parent.name}; cyllama {cyllama.__version__}, numpy "
            f"{np.__version__}")
out.mkdir(parents=True, exist_ok=True)
for n in FAMILIES:
    family(n)
quants()
spm()
shutil.rmtree(tmp)
