"""Text: a network that writes, character by character.

    data = kp.text.character_datasets(text, sequence_length=64, batch_size=32)
    model.fit(data.train, shuffle=False, callbacks=[kp.text.CarriedState(), kp.OneCycle(5e-3)])
    print(kp.text.evaluate_characters(model, data.validation_text))
    print(kp.text.generate(model, "Once upon a time", top_p=0.9))

Loss on held-out text says how well a model predicts; what it writes shows what it has learnt.
"""

from __future__ import annotations

from keras_practical.carried_state import CarriedState
from keras_practical.character_data import CharacterData, character_datasets
from keras_practical.character_evaluation import CharacterEvaluation, evaluate_characters
from keras_practical.characters import CharacterEmbedding, CharacterVocabulary
from keras_practical.generation import generate
from keras_practical.sampling import sampling_probabilities

__all__ = [
    "CarriedState",
    "CharacterData",
    "CharacterEmbedding",
    "CharacterEvaluation",
    "CharacterVocabulary",
    "character_datasets",
    "evaluate_characters",
    "generate",
    "sampling_probabilities",
]
