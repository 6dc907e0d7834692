"""What occurs together: counts over a corpus, and the vectors that they give to words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_practical.utils.checks import check_count

__all__ = ["cooccurrence_vectors", "inverse_document_frequency"]


def inverse_document_frequency(numbers: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return how telling each piece is: the logarithm of the part of the texts that have it.

    What is in every text says nothing about any of them and gets 0. scikit-learn's
    `TfidfVectorizer` has the same with one added to everything.

    Args:
        numbers: The texts' pieces, whole numbers from 0 to `size` - 1.
        size: Number of pieces, >= 1.

    Returns:
        float32 of shape `(size,)`, >= 0; a piece in no text counts as in one.

    Raises:
        ValueError: There are no texts.

    Example:

    >>> inverse_document_frequency([np.array([0, 1]), np.array([0])], 2)
    array([0.       , 0.6931472], dtype=float32)

    Reference:
        Spärck Jones, *A statistical interpretation of term specificity* (1972).
    """
    check_count("size", size)
    if not len(numbers):
        raise ValueError("`numbers` must hold at least one text. Received: none")
    texts = np.zeros(size)
    for text_numbers in numbers:
        texts[np.unique(text_numbers)] += 1
    return np.log(len(numbers) / np.maximum(texts, 1)).astype("float32")


def cooccurrence_vectors(
    numbers: Sequence[np.ndarray],
    size: int,
    dimension: int,
    *,
    window: int = 256,
    seed: int = 0,
) -> np.ndarray:
    """Return a vector for each piece, such that pieces of the same topics get similar ones.

    Use it to start an embedding where text is scarce: counting takes seconds, and rare words get a
    place that gradient descent would need many epochs to find. How much more often than by chance
    do two pieces stand in the same stretch of text? That table's best approximation by vectors is
    a singular value decomposition. There is no plain-Keras equivalent.

    Args:
        numbers: The texts' pieces, whole numbers from 0 to `size` - 1.
        size: Number of pieces, >= 1.
        dimension: Length of each vector, >= 1.
        window: Length of a stretch, in pieces, >= 2. Long ones catch topics, short ones grammar.
        seed: Decides the decomposition's random start.

    Returns:
        float32 of shape `(size, dimension)`, scaled to a standard deviation of 0.1 over all;
        zeros for pieces that never occur.

    Raises:
        ValueError: An argument is outside its range, or there are no texts.

    Example:

    >>> texts = [np.array([0, 1, 2])] * 9 + [np.array([3, 4, 5])] * 9
    >>> vectors = cooccurrence_vectors(texts, 6, 2)
    >>> bool(vectors[0] @ vectors[1] > abs(vectors[0] @ vectors[3]))
    True

    Reference:
        Levy & Goldberg, *Neural Word Embedding as Implicit Matrix Factorization* (2014);
        context counts to the power of 0.75: Levy, Goldberg & Dagan (2015).
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    check_count("size", size)
    check_count("dimension", dimension)
    check_count("window", window, minimum=2)
    stretches = [
        text_numbers[start : start + window]
        for text_numbers in numbers
        for start in range(0, len(text_numbers), window)
    ]
    if not stretches:
        raise ValueError("`numbers` must hold at least one text. Received: none")
    distinct = [np.unique(stretch) for stretch in stretches]
    columns = np.concatenate(distinct)
    ends = np.cumsum([0, *(len(text_numbers) for text_numbers in distinct)])
    occurs = sparse.csr_matrix(
        (np.ones(len(columns), "float32"), columns, ends), shape=(len(distinct), size)
    )
    together = (occurs.T @ occurs).tocoo()
    once = (together.row != together.col) & (together.data > 1)  # A single meeting is chance.
    rows, columns, counts = together.row[once], together.col[once], together.data[once]
    vectors = np.zeros((size, dimension), "float32")
    if not len(counts):
        return vectors
    by_row = np.bincount(rows, counts, minlength=size)
    by_column = by_row**0.75
    expected = (by_row[rows] / by_row.sum()) * (by_column[columns] / by_column.sum())
    gain = np.log(counts / counts.sum() / expected)
    positive = gain > 0
    table = sparse.csr_matrix(
        (gain[positive], (rows[positive], columns[positive])), shape=(size, size)
    )
    rank = min(dimension, size)
    left, values, _ = randomized_svd(table, rank, n_iter=3, random_state=seed)
    vectors[:, :rank] = left * np.sqrt(values)
    return vectors * (0.1 / max(float(vectors.std()), 1e-6))
