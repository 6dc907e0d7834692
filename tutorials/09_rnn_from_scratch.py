# %% [markdown]
# # A network that writes: recurrent networks from scratch
#
# **Goal.** Read a text character by character, predict the next one, and let the network write.
# From three characters in and one out, spelled out with `keras.ops`, to `SimpleRNN`, to a stateful
# GRU with truncated backpropagation, one-cycle and dropout. Each step is measured on text that the
# network hasn't seen, beside a baseline that only counts.
#
# | | |
# |---|---|
# | **Data** | Python's own language reference, which is installed with it; your text: `--data` |
# | **Time** | 5 minutes on 2 CPU cores |
# | **Result to expect** | nats a character on held-out text, 3 seeds: three in, one out |
# | | 2.34 ± 0.01, `SimpleRNN` 2.02 ± 0.01, GRU 1.82 ± 0.01, with one cycle 1.75 ± 0.01; |
# | | counting 1.82 (Python 3.11's text; another version's differs a little) |
#
# ```
# python tutorials/09_rnn_from_scratch.py
# python tutorials/09_rnn_from_scratch.py --data my_book.txt   # plain text, UTF-8
# ```

# %%
import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

import keras_practical as kp

IN_NOTEBOOK = "ipykernel" in sys.modules

parser = argparse.ArgumentParser(description="Recurrent networks from scratch.")
parser.add_argument("--data", help="a text file in UTF-8; default: Python's language reference")
parser.add_argument("--quick", action="store_true", help="little text, one seed: does it run?")
parser.add_argument("--output", default="output/09_rnn_from_scratch", help="for the plots")
options = parser.parse_args([] if IN_NOTEBOOK else None)

QUICK = options.quick or bool(os.environ.get("KERAS_PRACTICAL_QUICK"))
OUTPUT = Path(options.output)
CHARACTERS = 20_000 if QUICK else 200_000  # of the default text; a file of yours is read whole
SEEDS = range(10, 11 if QUICK else 13)  # each: other first weights
EPOCHS = 2 if QUICK else 6
SEQUENCE_LENGTH = 16 if QUICK else 64
BATCH_SIZE = 32
EMBEDDING, UNITS = 32, 128
CONSTANT_RATE, PEAK_RATE = 3e-3, 1e-2
DROPOUT = 0.2


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
# ## The text
#
# Every Python carries its language reference, for `help("while")`. Many of its topics repeat each
# other, and what the network has read in training is no test of it: we keep each paragraph once.


# %%
def load_text():
    """Return the text to learn from."""
    if options.data:
        return Path(options.data).read_text(encoding="utf-8-sig")
    from pydoc_data.topics import topics

    paragraphs = (p.strip("\n") for topic in topics.values() for p in topic.split("\n\n"))
    return "\n\n".join(dict.fromkeys(p for p in paragraphs if p.strip()))[:CHARACTERS]


data = kp.text.character_datasets(load_text(), SEQUENCE_LENGTH, BATCH_SIZE)
vocabulary = data.vocabulary
print(data.train_text[1000:1300])

# %% [markdown]
# A network sees numbers. Each character of the training text has one; 0 stands for all others.

# %%
beginning = data.train_text[:12]
print(repr(beginning), vocabulary.encode(beginning))
assert vocabulary.decode(vocabulary.encode(beginning)) == beginning

# %% [markdown]
# ## First, just count
#
# How well can one predict without any network? Count which characters follow `"whi"` in the
# training text. Where `"whi"` is rare, mix in what follows `"hi"`, and so on.
#
# The measure is the *cross-entropy*: minus the logarithm of the probability that was given to the
# character that came. Its mean is in **nats a character**; divided by log 2 it's bits, and its
# exponential is the *perplexity*: among how many equally likely characters we are left to guess.


# %%
def count_model(longest):
    """Return a function that gives the next character's probability, from counts."""
    counts, totals = Counter(), Counter()
    text = data.train_text
    for length in range(longest + 1):
        contexts = [text[i - length : i] for i in range(longest, len(text))]
        counts.update(zip(contexts, text[longest:], strict=True))
        totals.update(contexts)

    def probability(context, character):
        chance = 1 / vocabulary.size
        for length in range(longest + 1):
            end = context[len(context) - length :]
            chance = (counts[end, character] + 5 * chance) / (totals[end] + 5)
        return chance

    return probability


def nats_of_counting(longest):
    """Return the mean cross-entropy on the held-out text."""
    probability, text = count_model(longest), data.validation_text
    chances = [probability(text[i - longest : i], text[i]) for i in range(longest, len(text))]
    return -np.log(chances).mean()


counting = {longest: nats_of_counting(longest) for longest in (0, 1, 3, 5)}
for longest, nats in counting.items():
    print(f"counting, {longest} characters back: {nats:.3f} nats a character")

# %% [markdown]
# ## Three characters in, one out
#
# Now a network. Each character is looked up in a table of vectors (the *embedding*). The first
# vector makes a *state*; the second one changes it; so does the third. What the state says after
# three characters becomes a probability for each character that might follow. The same matrices
# serve each of the three characters: that's what makes it *recurrent*.

# %%
rng = np.random.default_rng(0)


def random_matrix(*shape):
    return ops.convert_to_tensor(rng.normal(0, 0.3, shape).astype("float32"))


embedding = random_matrix(vocabulary.size, EMBEDDING)
kernel = random_matrix(EMBEDDING, UNITS)
recurrent_kernel = random_matrix(UNITS, UNITS)
bias = random_matrix(UNITS)
output_kernel, output_bias = random_matrix(UNITS, vocabulary.size), random_matrix(vocabulary.size)


def three_in_one_out(first, second, third):
    """Return the next character's probabilities: spelled out."""
    state = ops.tanh(ops.take(embedding, first, axis=0) @ kernel + bias)
    state = ops.tanh(ops.take(embedding, second, axis=0) @ kernel + state @ recurrent_kernel + bias)
    state = ops.tanh(ops.take(embedding, third, axis=0) @ kernel + state @ recurrent_kernel + bias)
    return ops.softmax(state @ output_kernel + output_bias)


# %% [markdown]
# The same line thrice is a loop. It starts from a state of zeros and goes as far as we like.


# %%
def any_number_in_one_out(numbers):
    """Return the next character's probabilities: the same as a loop."""
    state = ops.zeros((len(numbers), UNITS))
    for place in range(numbers.shape[1]):
        vectors = ops.take(embedding, numbers[:, place], axis=0)
        state = ops.tanh(vectors @ kernel + state @ recurrent_kernel + bias)
    return ops.softmax(state @ output_kernel + output_bias)


numbers = vocabulary.encode(data.train_text)
some = np.stack([numbers[start : start + 3] for start in range(100)])
spelled_out = ops.convert_to_numpy(three_in_one_out(some[:, 0], some[:, 1], some[:, 2]))
looped = ops.convert_to_numpy(any_number_in_one_out(some))
assert np.allclose(spelled_out, looped, atol=1e-6)

# %% [markdown]
# ## Our loop as a layer, and Keras's
#
# To train it we need weights that Keras can change: the same loop, in a layer. And then we find
# that it has been there all along: given the same weights, `keras.layers.SimpleRNN` gives the same
# numbers, and one step of training changes both in the same way.


# %%
class OurRNN(keras.layers.Layer):
    """The loop above, with weights that can be trained."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="orthogonal"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros")

    def call(self, vectors):
        state = ops.zeros((ops.shape(vectors)[0], self.units))
        for place in range(vectors.shape[1]):
            inputs = vectors[:, place] @ self.kernel
            state = ops.tanh(inputs + state @ self.recurrent_kernel + self.bias)
        return state


def answering_at_the_end(recurrent, length):
    """Return a model that reads `length` characters and predicts the next."""
    layers = [
        keras.Input((length,)),
        kp.text.CharacterEmbedding(vocabulary, EMBEDDING),
        recurrent,
        keras.layers.Dense(vocabulary.size, activation="softmax"),
    ]
    return keras.Sequential(layers)


ours = answering_at_the_end(OurRNN(UNITS), 3)
kerass = answering_at_the_end(keras.layers.SimpleRNN(UNITS), 3)
kerass.set_weights(ours.get_weights())
assert np.allclose(ours.predict(some, verbose=0), kerass.predict(some, verbose=0), atol=1e-5)

for model in (ours, kerass):
    model.compile(keras.optimizers.SGD(0.5), loss="sparse_categorical_crossentropy")
    model.train_on_batch(some, numbers[3:103])
for our_weight, their_weight in zip(ours.get_weights(), kerass.get_weights(), strict=True):
    assert np.allclose(our_weight, their_weight, atol=1e-5)

# %% [markdown]
# ## How good is it?
#
# `kp.text.evaluate_characters` reads the held-out text, which training hasn't seen. Networks with
# other random first weights learn a little differently: we train from several seeds and look at
# mean and spread.

# %%
results, examples = {}, {}


def measure(name, train):
    """Train one model for each seed, and keep what it gives on the held-out text."""
    nats = []
    for seed in SEEDS:
        keras.utils.set_random_seed(seed)
        model, history = train()
        result = kp.text.evaluate_characters(model, data.validation_text)
        print(f"{name}, seed {seed}: {result}")
        nats.append(result.nats)
    results[name] = np.array(nats)
    examples[name] = model, history.history


def three_characters():
    model = answering_at_the_end(OurRNN(UNITS), 3)
    model.compile(keras.optimizers.Adam(CONSTANT_RATE), loss="sparse_categorical_crossentropy")
    windows = np.lib.stride_tricks.sliding_window_view(numbers, 4)
    steps = EPOCHS * len(data.train)  # as many as the other models will take
    chosen = windows[np.random.default_rng(0).integers(0, len(windows), steps * 256)]
    return model, model.fit(chosen[:, :3], chosen[:, 3], batch_size=256, verbose=0)


measure("three in, one out", three_characters)

# %% [markdown]
# Counting does better! It needs no steps to learn, and three characters back it has seen nearly
# everything that occurs. But it can't go on like that: most sequences of ten characters never come
# twice.
#
# ## An answer at every character
#
# Reading 64 characters for one answer is a waste: after each of them the state could have been
# asked. `return_sequences=True` does so, and one sequence gives 64 lessons instead of one.
#
# The sequences start with an empty state, so the first characters of each are guessed from next to
# nothing. We look at the loss by place in the sequence.


# %%
def answering_everywhere(recurrent, batch_size=None, dropout=0.0):
    """Return a model that predicts the next character at every place."""
    layers = [
        keras.Input((None,), batch_size=batch_size),
        kp.text.CharacterEmbedding(vocabulary, EMBEDDING),
        recurrent,
        keras.layers.Dropout(dropout),
        keras.layers.Dense(vocabulary.size, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    # Compiling for the CPU by XLA, Keras's default, takes longer than it saves in so short a run.
    model.compile(
        keras.optimizers.Adam(CONSTANT_RATE, clipnorm=1.0),
        loss="sparse_categorical_crossentropy",
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def train(model, callbacks=()):
    return model, model.fit(
        data.train,
        validation_data=data.validation,
        shuffle=False,
        epochs=EPOCHS,
        callbacks=list(callbacks),
        verbose=0,
    )


def stateless():
    return train(answering_everywhere(keras.layers.SimpleRNN(UNITS, return_sequences=True)))


measure("SimpleRNN, cut text", stateless)

# %% [markdown]
# ## The state goes on
#
# The text doesn't begin anew every 64 characters, and the state needn't either. With
# `stateful=True` each batch goes on where the one before ended. Three things must be right for it:
#
# - *The batches continue each other.* `character_datasets` has cut the text into 32 long rows, and
#   a batch is the next piece of all of them.
# - *The gradient stops at the batch's border.* The state's value is carried, not how it came about:
#   *truncated backpropagation through time*. Otherwise each step would go back to the beginning.
# - *The state is emptied where the text begins.* `CarriedState` does it for each epoch and each
#   validation, and gives training its own state back afterwards.

# %%
first, second = [inputs for inputs, _ in data.train.take(2).as_numpy_iterator()]
for row in range(2):
    print(repr(vocabulary.decode(first[row])), "→", repr(vocabulary.decode(second[row])))


def stateful(kind, peak_rate=None, dropout=0.0):
    recurrent = kind(UNITS, return_sequences=True, stateful=True)
    callbacks = [kp.text.CarriedState()]
    if peak_rate:
        callbacks.append(kp.OneCycle(peak_rate))
    return train(answering_everywhere(recurrent, BATCH_SIZE, dropout), callbacks)


measure("SimpleRNN, carried state", lambda: stateful(keras.layers.SimpleRNN))

# %% [markdown]
# Is the state really carried? Then two batches, one after the other, give what a stateless copy
# gives for both in one piece.

# %%
model, _ = examples["SimpleRNN, carried state"]
copy = answering_everywhere(keras.layers.SimpleRNN(UNITS, return_sequences=True))
copy.set_weights(model.get_weights())
in_one_piece = copy.predict(np.concatenate([first, second], axis=1), verbose=0)
model.layers[1].reset_state()
in_two = np.concatenate([model.predict_on_batch(first), model.predict_on_batch(second)], axis=1)
assert np.allclose(in_two, in_one_piece, atol=1e-5)
model.layers[1].reset_state()

# %% [markdown]
# And what is it good for? The loss by place in the sequence, on held-out text:


# %%
def loss_by_place(model, carried):
    """Return the mean held-out loss at each place of the sequences."""
    losses = []
    model.layers[1].reset_state()
    for batch, (inputs, targets) in enumerate(data.validation.as_numpy_iterator()):
        probabilities = model.predict_on_batch(inputs)
        chosen = np.take_along_axis(probabilities, targets[..., None], axis=-1)[..., 0]
        if batch or not carried:  # Nothing has been carried into the first batch.
            losses.append(-np.log(chosen))
    model.layers[1].reset_state()
    return np.concatenate(losses).mean(axis=0)


places = np.arange(1, SEQUENCE_LENGTH + 1)
by_place = {
    name: loss_by_place(examples[name][0], carried="carried" in name)
    for name in ("SimpleRNN, cut text", "SimpleRNN, carried state")
}
_, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
for name, losses in by_place.items():
    ax.plot(places, losses, "o-", markersize=3, label=name)
ax.set_xlabel("place in the sequence")
ax.set_ylabel("nats a character")
ax.set_title("Who starts with an empty state knows nothing yet")
ax.legend()
show("1_by_place")

# %% [markdown]
# After about five characters the one that began with nothing has caught up: so far back does a
# `SimpleRNN` remember. That's why the two are nearly equal in the mean. A state that goes on pays
# with a network that remembers longer, and when we let it write: it reads each character once.
#
# ## GRU: a state that knows what to keep
#
# `SimpleRNN` writes its whole state anew at each character; what it read some time ago is soon
# blurred, and so is the gradient on its way back. A GRU decides by *gates* for each number of its
# state how much to keep. (An LSTM has a second state and one gate more: try it.)

# %%
measure("GRU, carried state", lambda: stateful(keras.layers.GRU))

# %% [markdown]
# ## One cycle, and dropout
#
# A higher rate that rises and falls again (tutorial 02), in the same number of epochs. Then
# *dropout*: in training, a part of the state's outputs is hidden at random from the last layer, so
# that it can't rely on a few. It costs some loss in training, and it should pay where a network has
# begun to learn the text by heart. Before you run it, guess what it's worth here.

# %%
measure("GRU, one cycle", lambda: stateful(keras.layers.GRU, PEAK_RATE))
measure("GRU, one cycle, dropout", lambda: stateful(keras.layers.GRU, PEAK_RATE, DROPOUT))

names = ["GRU, carried state", "GRU, one cycle", "GRU, one cycle, dropout"]
_, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), layout="constrained", sharey=True)
for ax, name in zip(axes, names, strict=True):
    history = examples[name][1]
    epochs = np.arange(1, EPOCHS + 1)
    ax.plot(epochs, history["loss"], "o-", label="training")
    ax.plot(epochs, history["val_loss"], "o-", label="held out")
    ax.set_title(name, fontsize=10)
    ax.set_xlabel("epoch")
    ax.set_xticks(epochs)
axes[0].set_ylabel("nats a character")
axes[0].legend()
show("2_training")

# %% [markdown]
# One cycle gains much. Dropout brings the lines closer together, but on held-out text, which is
# what counts, it gains nothing here. A distance between the lines can have two causes: the network
# has learnt by heart, or the end of the text is about other things. Dropout can only help against
# the first.
#
# ## Let it write
#
# `kp.text.generate` reads the prompt, draws a character from what the model thinks likely, reads
# that, and so on. Two screws change the draw: the *temperature* makes the likely likelier (below 1)
# or all more alike (above 1), and *top-p* keeps only the likeliest characters that together have
# that probability. Without it, one unlucky draw in a hundred is enough to derail a word.

# %%
model, _ = examples["GRU, one cycle"]
prompt = data.train_text[-40:] if options.data else "The statement "
for temperature, top_p in ((1.0, 1.0), (1.0, 0.9), (0.5, 1.0), (0, 1.0)):
    written = kp.text.generate(
        model, prompt, length=250, temperature=temperature, top_p=top_p, seed=1
    )
    print(f"--- temperature {temperature:g}, top_p {top_p:g}\n{prompt}{written}\n")

# %%
reader = answering_everywhere(keras.layers.GRU(UNITS, return_sequences=True))
reader.set_weights(model.get_weights())
next_probabilities = reader.predict(vocabulary.encode(prompt)[None], verbose=0)[0, -1]
likeliest = np.argsort(-next_probabilities)[:15]
labels = [repr(vocabulary.decode([n]))[1:-1].replace(" ", "␣") for n in likeliest]
_, axes = plt.subplots(1, 3, figsize=(9.5, 2.8), layout="constrained", sharey=True)
settings = ({}, {"temperature": 0.5}, {"top_p": 0.7})
for ax, setting in zip(axes, settings, strict=True):
    changed = kp.text.sampling_probabilities(next_probabilities, **setting)
    ax.bar(labels, changed[likeliest])
    ax.set_title(" ".join(f"{name}={value}" for name, value in setting.items()) or "as it is")
axes[0].set_ylabel("probability")
show("3_next_character")

# %% [markdown]
# ## Keep it
#
# The vocabulary lies in the model's first layer, so one file is enough. It loads with plain Keras
# after `import keras_practical`, and it is no pickle: nothing in it can run.

# %%
OUTPUT.mkdir(parents=True, exist_ok=True)
model.save(OUTPUT / "writer.keras")
loaded = keras.models.load_model(OUTPUT / "writer.keras")
assert kp.text.generate(loaded, prompt, length=50) == kp.text.generate(model, prompt, length=50)

# %% [markdown]
# ## All of it in one picture

# %%
names = list(results)
_, ax = plt.subplots(figsize=(8, 3.6), layout="constrained")
bars = {f"counting, {longest} back": [nats] for longest, nats in counting.items()} | results
for place, (name, nats) in enumerate(reversed(bars.items())):
    ax.barh(place, np.mean(nats), color="#2a78d6" if name in results else "#b0b0b0")
    ax.text(np.max(nats) + 0.04, place, f"{np.mean(nats):.2f}", va="center", fontsize=9)
    ax.plot(nats, [place] * len(nats), "k.", markersize=4)
ax.set_yticks(range(len(bars)), reversed(bars))
ax.margins(x=0.12)
ax.set_xlabel("nats a character on held-out text; a dot is a seed")
show("4_all")
for name, nats in results.items():
    bits = nats / np.log(2)
    spread = f" ± {nats.std(ddof=1):.3f}" if len(nats) > 1 else ""
    print(f"{name:25} {nats.mean():.3f}{spread} nats, {bits.mean():.3f} bits, n={len(nats)}")

# %% [markdown]
# ## What we learnt
#
# - A recurrent network is a loop around one matrix product; `SimpleRNN` is that loop.
# - Counting is a baseline that has to be beaten. Three characters in, one out, isn't enough for it,
#   nor is a `SimpleRNN`.
# - An answer at every character teaches far more in the same number of steps than one at the end.
# - Gates that keep what matters, and a rate that rises and falls, are worth most.
# - Not everything pays everywhere: measure. What counts is the loss on text that the network hasn't
#   seen, not how well it has learnt its lesson by heart.
#
# **Try next:** more text, `UNITS = 256` and 12 epochs with more dropout; `keras.layers.LSTM`; two
# recurrent layers; `kp.find_lr(model, data.train)` for the peak.

# %%
if not QUICK and not options.data:
    three, cut, carried, gru, cycle = (
        results[name]
        for name in (
            "three in, one out",
            "SimpleRNN, cut text",
            "SimpleRNN, carried state",
            "GRU, carried state",
            "GRU, one cycle",
        )
    )
    assert (cut < three).all(), "many answers a step should beat one"
    first_place = {name: losses[0] for name, losses in by_place.items()}
    assert first_place["SimpleRNN, carried state"] < first_place["SimpleRNN, cut text"]
    assert gru.max() < carried.min(), "gates should help, whatever the seed"
    assert (cycle < gru).all(), "one cycle should beat the constant rate from every seed"
    assert cycle.max() < counting[5], "the network should beat counting"
