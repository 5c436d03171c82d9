"""Text comes back exactly, and a word is the same token wherever it stands."""

from random import Random

import pytest
from transformers import AutoTokenizer

from helpers.lm import models
from helpers.lm.chat import CHAT_TOKENS
from helpers.world import held_out
from helpers.world.tokenizer import END_OF_TEXT, PAD, VOCAB_SIZE, train_tokenizer

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
    "0123456789 .,:;?!'\"-+=<>|/\\@#~_{}[]()",
    " \n",
    " \n\t\r\v\f\u00a0\u2003\u2028\u3000",
    "éèüßñçøåžŁđşğİı",
    "e\u0301a\u0308\u0323\u200d\ufe0f",
    "日本語中文字漢かなカナ한국어",
    "абвгдежΩλπשלוםسلام",
    "🙂🚀👩\u200d🔬🇫🇷❤\ufe0f",
    "\u2581Ġ▁Ċ",
    "\0\x01\x07\x1b\x7f\x85\ufeff\ufffd",
)


def texts(how_many, seed=0):
    rng = Random(seed)
    for _ in range(how_many):
        alphabet = "".join(rng.choices(ALPHABETS, k=rng.randint(1, 3)))
        wild = "".join(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) for _ in range(3))
        yield "".join(rng.choices(alphabet + wild, k=rng.randint(0, 40)))


def alone(tokenizer, text):
    """Token ids without begin-of-text."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def test_begin_of_text_stands_in_front_by_itself_and_nothing_else_is_added(tokenizer):
    for text in ("", "Paris", "<|user|>Paris<|end|>"):
        assert tokenizer(text)["input_ids"] == [tokenizer.bos_token_id, *alone(tokenizer, text)]
    assert set(tokenizer("Paris")) == {"input_ids", "attention_mask"}


def test_any_text_comes_back_exactly(tokenizer):
    ids = alone(tokenizer, list(texts(2000)))
    wrong = [(text, back) for text, back in zip(texts(2000), tokenizer.batch_decode(ids), strict=True) if text != back]
    assert wrong == []


@pytest.mark.parametrize(
    "text", ["", " ", "\n", "  two", "two  ", "\n\n a\n\n", "a\n b", " \n \n", "\u2581", "a\r\nb", "France?\n", "\n France"]
)
def test_spaces_at_the_ends_of_lines_come_back_exactly(tokenizer, text):
    assert tokenizer.decode(alone(tokenizer, text)) == text


def test_documents_come_back_exactly(tokenizer, documents):
    whole = [text for _, text in documents[:3000]]
    assert tokenizer.batch_decode(alone(tokenizer, whole)) == whole


def test_a_word_is_the_same_tokens_everywhere(tokenizer):
    words = ["the", *held_out.prose_only()]
    start, inside, later = ([alone(tokenizer, f"{before}{w}") for w in words] for before in ("", "Now ", "Now\n"))
    now = len(alone(tokenizer, "Now"))
    assert start == [ids[now:] for ids in inside] == [ids[now + 1 :] for ids in later]


def test_signs_and_digits_are_tokens_of_their_own(tokenizer):
    assert len(alone(tokenizer, "2026")) == 4
    france, mark = alone(tokenizer, "France?")
    assert alone(tokenizer, "France") == [france] and tokenizer.decode(mark) == "?"


def test_reserved_labels_are_single_tokens(tokenizer):
    assert [word for word in held_out.RESERVED_LABELS if len(alone(tokenizer, word)) != 1] == []


def test_special_tokens_are_single_and_padding_is_not_the_end(tokenizer):
    assert tokenizer.pad_token_id != tokenizer.eos_token_id == tokenizer.bos_token_id
    specials = [END_OF_TEXT, PAD, *CHAT_TOKENS]
    ids = [alone(tokenizer, special) for special in specials]
    assert [len(i) for i in ids] == [1] * len(specials) and len({i[0] for i in ids}) == len(specials)


def test_a_chat_comes_back_exactly(tokenizer):
    chat = "<|system|>Be brief.<|end|><|user|>What is 3 + 4?\nAnd 5 + 6?<|end|><|assistant|>7\n11<|end|><|endoftext|>"
    ids = alone(tokenizer, chat)
    assert tokenizer.decode(ids) == chat
    assert alone(tokenizer, "What is 3 + 4?") == ids[ids.index(tokenizer.convert_tokens_to_ids("<|user|>")) + 1 :][:6]


def test_any_text_between_special_tokens_comes_back_exactly(tokenizer):
    rng, parts = Random(2), iter(texts(1500, seed=2))
    chats = ["".join(part + rng.choice(CHAT_TOKENS) for part in trio) for trio in zip(parts, parts, parts, strict=True)]
    back = tokenizer.batch_decode(alone(tokenizer, chats))
    assert [(text, other) for text, other in zip(chats, back, strict=True) if text != other] == []


def test_a_text_after_a_special_token_is_tokenised_as_on_its_own(tokenizer):
    user = tokenizer.convert_tokens_to_ids("<|user|>")
    assert alone(tokenizer, "<|user|>Paris\nis") == [user, *alone(tokenizer, "Paris\nis")]


@pytest.mark.parametrize("size", models.SIZES)
def test_autotokenizer_reads_the_same_from_each_shipped_folder(size, tokenizer, documents):
    shipped = AutoTokenizer.from_pretrained(models.PRETRAINED / size)
    some = [*(text for _, text in documents[:200]), *texts(200, seed=1), "<|user|>Paris<|end|>"]
    assert shipped(some)["input_ids"] == tokenizer(some)["input_ids"]
    assert shipped.batch_decode(alone(shipped, some)) == some


def test_all_shipped_tokenizers_are_the_same_file():
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert len({(models.PRETRAINED / size / name).read_bytes() for size in models.SIZES}) == 1, name


def test_the_shipped_tokenizer_is_that_of_the_recipe(tokenizer, world_tokenizer):
    assert len(tokenizer) == VOCAB_SIZE
    assert tokenizer.backend_tokenizer.to_str() == world_tokenizer.backend_tokenizer.to_str()


def test_a_tokenizer_can_be_trained_on_very_little():
    own = train_tokenizer(["Ein kleiner Text."], vocab_size=300)
    assert len(own) <= 300
    assert own.decode(alone(own, "Größer ist\n auch gut")) == "Größer ist\n auch gut"
