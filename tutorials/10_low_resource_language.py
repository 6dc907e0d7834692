# %% [markdown]
# # A classifier for a language with few resources
#
# **Goal.** You have thousands of texts in your language and labels for a few dozen of them. We
# teach a small network the language from the texts alone, then the task from the labels (ULMFiT,
# Howard & Ruder 2018), beside the baseline that it has to beat: TF-IDF + logistic regression. Which
# words made it decide? Where is it surely wrong?
#
# | | |
# |---|---|
# | **Data** | documentation inside the Python libraries you have; your own: `--data` |
# | **Time** | about 6 minutes on 2 CPU cores |
# | **Result to expect** | 20 / 100 / 840 labels, 3 draws, 410 held-out texts: TF-IDF |
# | | 35.3 ± 3.5 / 81.8 ± 0.4 / 95.4 %, pretrained 61.7 ± 1.9 / 88.2 ± 0.7 / 92.8 ± 0.3 % |
#
# ```
# python tutorials/10_low_resource_language.py
# python tutorials/10_low_resource_language.py --data urdu_news/   # train.tsv, validation.tsv,
#                                                                  # unlabelled.txt.gz
# ```
# It needs `pip install "keras-practical[text]"`.

# %%
import argparse
import ast
import importlib.util
import os
import re
import sys
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_practical as kp

IN_NOTEBOOK = "ipykernel" in sys.modules

parser = argparse.ArgumentParser(description="Text classification with few labels.")
parser.add_argument("--data", default="docs", help="docs, or a folder with train.tsv")
parser.add_argument("--quick", action="store_true", help="little text: does it run?")
parser.add_argument("--output", default="output/10_low_resource_language", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)

DOCS = options.data == "docs"
QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
SIZES = (100,) if QUICK else (20, 100, 1000)
DRAWS = 1 if QUICK else 3
PRETRAINING_EPOCHS = 1 if QUICK else 2
VOCABULARY_SIZE = 1000 if QUICK else 4000
TEXTS_A_TOPIC = 60 if QUICK else 250
# What each library's documentation is about.
TOPICS = {
    "drawing": "matplotlib",
    "learning": "sklearn",
    "networks": "keras/src/layers",
    "signals": "scipy/signal",
    "statistics": "scipy/stats",
}


def show(name):
    """Show the figure in a notebook; a script saves it."""
    if IN_NOTEBOOK:
        plt.show()
    else:
        OUTPUT.mkdir(parents=True, exist_ok=True)
        plt.savefig(OUTPUT / f"{name}.png", dpi=110)
        print(f"plot: {OUTPUT / name}.png")
    plt.close()


# %% [markdown]
# ## The texts
#
# For a start we take texts that are on your disk already: what Python libraries say about their own
# functions. The topic is the library; its name is struck out, or the task would be too easy. What
# `load_texts` expects of *your* texts is a table with the columns `text` and `label`, or one folder
# a class. It brings everything into one Unicode form, drops empty rows and copies, and tells you of
# misspelt labels by file and line.


# %%
def documentation(place, shortest=25, longest=120):
    """Return what the functions and classes of a library say of themselves."""
    package, _, part = place.partition("/")
    folder = Path(importlib.util.find_spec(package).origin).parent / part
    texts = []
    for file in sorted(folder.rglob("*.py")):
        if "tests" in file.parts:
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                text = (ast.get_docstring(node) or "").replace(package, "it")
                words = re.sub(r"[-=~]{2,}|[`*]", " ", text).split()[:longest]
                if len(words) >= shortest:
                    texts.append(" ".join(words))
    return list(dict.fromkeys(texts))


if DOCS:
    found = {topic: documentation(place) for topic, place in TOPICS.items()}
    rng = np.random.default_rng(0)
    shuffled = {topic: list(rng.permutation(texts)) for topic, texts in found.items()}
    pairs = [(t, topic) for topic, texts in shuffled.items() for t in texts[:TEXTS_A_TOPIC]]
    texts, labels = zip(*pairs, strict=True)
    data = kp.text.load_texts(([str(text) for text in texts], labels), validation_fraction=0.33)
    # The rest serves without its labels, and so does documentation of other libraries.
    rest = [str(t) for texts in shuffled.values() for t in texts[TEXTS_A_TOPIC:]]
    rest += [] if QUICK else documentation("numpy") + documentation("scipy/optimize")
    unlabelled = kp.text.load_unlabelled_texts(rest[: 150 if QUICK else None])
else:
    data = kp.text.load_texts(options.data)
    unlabelled = kp.text.load_unlabelled_texts(Path(options.data) / "unlabelled.txt.gz")
for text, topic in list(data.train)[:: max(1, len(data.train) // 4)]:
    print(f"{topic}: {kp.text.isolated(text[:70])}")

# %% [markdown]
# ## The number to beat
#
# Count the words of each text, weigh rare ones up, fit a logistic regression. It takes a second,
# and for many tasks you can stop here. So it comes first, and every number of a network stands
# beside it.

# %%
few = 100


def drawn(size, draw):
    """Return `size` training texts, or all."""
    order = np.random.default_rng(draw).permutation(len(data.train))
    return data.train.take(order[:size])


def percent(chances, texts):
    """Return the accuracy of predictions in per cent."""
    return 100 * float((chances.argmax(1) == texts.labels).mean())


labelled = drawn(few, 0)
words = kp.text.baseline(labelled)
print(words)
print(words.evaluate(data.validation))

# %% [markdown]
# ## A vocabulary
#
# Words are too many and letters say too little, so frequent words stay whole and rare ones are cut
# in pieces. Nothing needs to be known of the language for it. Only training and unlabelled texts
# count: held-out ones must stay unknown in every respect.

# %%
language = [*unlabelled, *data.train.texts]
vocabulary = kp.text.build_vocabulary(language, size=VOCABULARY_SIZE)
print(vocabulary.pieces(data.train.texts[0][:60]))

# %% [markdown]
# ## Learn the language, first by counting
#
# The network reads pieces as vectors. They don't have to start at random: pieces that occur in the
# same texts more often than chance has it get similar ones, and that is a matter of counting.
# Neighbours in that space tell whether it worked.

# %%
model = kp.text.language_model(vocabulary, texts=language, seed=0)
counted = keras.models.clone_model(model)
counted.set_weights(model.get_weights())
vectors = model.get_layer("encoder").get_layer("vectors").get_weights()[0]
vectors = vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9)
often = np.argsort(-model.get_layer("next_piece").get_weights()[1])[300:1500]
for number in often[:: max(1, len(often) // 5)][:5]:
    near = often[np.argsort(-(vectors[often] @ vectors[number]))[1:5]]
    print(vocabulary.decode([number]), "→", ", ".join(vocabulary.decode([n]) for n in near))

# %% [markdown]
# ## … then by foreseeing what comes next
#
# A language model guesses each next piece from those before it. Nobody has to label anything: the
# text itself says what was right. *Perplexity* is the number of equally likely pieces among which
# the model wavers; we measure it on texts that it hasn't read.

# %%
before = kp.text.evaluate_language_model(model, data.validation.texts[:100])
kp.text.pretrain(model, language, epochs=PRETRAINING_EPOCHS, verbose=2)
after = kp.text.evaluate_language_model(model, data.validation.texts[:100])
print("counted:   ", before)
print("pretrained:", after)

# %% [markdown]
# ## Learn the task
#
# The classifier sits on the language model's encoder. A text becomes one vector: the mean of its
# pieces' vectors and, of the states, the mean, the maximum and the last ("concat pooling"). With
# few labels only the head on top of it learns.

# %%
classifier = kp.text.classifier(model, data.class_names)
kp.text.fine_tune(classifier, labelled, epochs=0)
chances = kp.text.predict_texts(classifier, data.validation.texts)
print(kp.evaluate_predictions(chances, data.validation.labels, class_names=data.class_names))

# %% [markdown]
# ## How many labels is pretraining worth?
#
# Four ways, each on the same labels: TF-IDF + logistic regression; the network from scratch, on the
# labels alone; its vectors only counted; pretrained. Before you look at the plot, guess where the
# lines cross.


# %%
def from_scratch(train, seed):
    """Train the same network without having read anything before."""
    keras.utils.set_random_seed(seed)
    encoder = kp.text.text_encoder(vocabulary, seed=seed)
    network = kp.text.classifier(encoder, data.class_names, seed=seed)
    network.get_layer("encoder").trainable = True
    network.compile("adam", loss="sparse_categorical_crossentropy")
    inputs = vocabulary.encode(train.texts, length=192)
    epochs = 1 if QUICK else int(np.clip(2000 / len(train), 4, 20))
    cycle = kp.OneCycle(3e-3)
    network.fit(inputs, train.labels, batch_size=16, epochs=epochs, callbacks=[cycle], verbose=0)
    return kp.text.predict_texts(network, data.validation.texts, length=192, verbose=False)


def with_head(language_model, train, seed):
    """Fit a head to what a language model makes of the texts."""
    network = kp.text.classifier(language_model, data.class_names, seed=seed)
    kp.text.fine_tune(network, train, epochs=0, verbose=0)
    return kp.text.predict_texts(network, data.validation.texts, verbose=False)


def spread_of(values):
    """Return the standard deviation that the draws tell of; one draw tells of none."""
    return np.std(values, ddof=1) if len(values) > 1 else 0.0


METHODS = {
    "TF-IDF": lambda train, _: kp.text.baseline(train).predict_proba(data.validation.texts),
    "from scratch": from_scratch,
    "vectors counted": lambda train, seed: with_head(counted, train, seed),
    "pretrained": lambda train, seed: with_head(model, train, seed),
}
sizes = sorted({min(size, len(data.train)) for size in SIZES})
table = np.array(
    [
        [
            [percent(method(drawn(size, draw), draw), data.validation) for draw in range(DRAWS)]
            for size in sizes
        ]
        for method in METHODS.values()
    ]
)
print(f"{'labels':<16}" + "".join(f"{size:>14}" for size in sizes))
for name, rows in zip(METHODS, table, strict=True):
    cells = (f"{row.mean():.1f} ± {spread_of(row):.1f}" for row in rows)
    print(f"{name:<16}" + "".join(f"{cell:>14}" for cell in cells))

# %%
_, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for (name, rows), marker in zip(zip(METHODS, table, strict=True), "os^D", strict=True):
    ax.errorbar(sizes, rows.mean(1), [*map(spread_of, rows)], marker=marker, capsize=3, label=name)
ax.set_xscale("log")
ax.set_xticks(sizes, [str(size) for size in sizes])
ax.minorticks_off()
ax.set_xlabel("labelled texts")
ax.set_ylabel("accuracy on held-out texts, %")
ax.legend(frameon=False)
ax.grid(alpha=0.3)
show("1_labels")

# %% [markdown]
# ## With many labels, unfreeze the encoder
#
# Where labels suffice, the encoder may learn as well: its later layers first, its earlier ones with
# smaller steps, all under one cycle. Does it catch up with TF-IDF?

# %%
unfrozen = kp.text.classifier(model, data.class_names)
kp.text.fine_tune(
    unfrozen,
    data.train,
    epochs=1 if QUICK else 4,
    max_learning_rate=3e-3,
    head_strength=1.0,
    verbose=2,
)
answers = {
    "TF-IDF": kp.text.baseline(data.train).predict_proba(data.validation.texts),
    "head alone": with_head(model, data.train, 0),
    "encoder unfrozen": kp.text.predict_texts(unfrozen, data.validation.texts, verbose=False),
}
for name, found in answers.items():
    right = int((found.argmax(1) == data.validation.labels).sum())
    low, high = kp.evaluation.wilson_interval(right, len(data.validation))
    print(f"{name}: {right / len(data.validation):.1%} (95 % interval {low:.1%} to {high:.1%})")

# %% [markdown]
# ## Which words made it decide?
#
# Leave out each word and see how much less sure the model becomes. It works for the network as for
# the baseline, so you can compare their reasons. A network that decides by a word that has nothing
# to do with the topic will fail elsewhere. The place a text ends at has a part of the vector to
# itself: does the last word weigh too much?

# %%
place = int(np.argmax(chances.max(1)))
text = " ".join(data.validation.texts[place].split()[:60])
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, judge, name in zip(axes, (words, classifier), ("TF-IDF", "network"), strict=True):
    reasons = kp.text.explain_text(judge, text, class_names=data.class_names, verbose=False)
    print(f"{name}: {reasons}")
    reasons.plot(ax=ax)
    ax.set_title(f"{name}: {ax.get_title()}")
show("2_reasons")

# %% [markdown]
# ## Where is it surely wrong?
#
# The surest mistakes teach most: some of the labels are wrong, some texts belong to two topics, and
# some show what the training texts lack.

# %%
for mistake in kp.text.confident_mistakes(classifier, data.validation, count=5, verbose=False):
    print(mistake)

# %% [markdown]
# ## One file
#
# The vocabulary is inside the model, so what you save is complete: text in, probabilities out.

# %%
with tempfile.TemporaryDirectory() as folder:
    classifier.save(f"{folder}/topics.keras")
    loaded = keras.models.load_model(f"{folder}/topics.keras")
again = kp.text.predict_texts(loaded, data.validation.texts, verbose=False)
print("the same answers from the file:", np.allclose(again, chances, atol=1e-5))

# %% [markdown]
# ## What we learnt
#
# - Text without labels is worth labels: most where there are few of them.
# - Much of it needs no gradient: counting what occurs together gives the vectors their place.
# - TF-IDF catches up as labels grow, and may win in the end, even against an unfrozen encoder:
#   it knows each rare word by name. Look at the last column, and take the simpler one if it wins.
# - One file holds vocabulary and network.
#
# **Try next:** `--data` with your own texts; other `epochs` and `max_learning_rate` where the
# encoder is unfrozen (chosen by folds of the training texts); a second, slower `pretrain` on the
# task's own texts; and read the surest mistakes: some of them are wrong labels.

# %%
assert np.allclose(again, chances, atol=1e-5), "a saved model should answer as before"
assert after.loss < before.loss, "reading should make the next piece less surprising"
if DOCS and not QUICK:
    means = dict(zip(METHODS, table.mean(2), strict=True))
    assert means["pretrained"][1] > means["from scratch"][1], "pretraining should be worth a lot"
