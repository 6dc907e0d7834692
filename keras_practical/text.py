"""Text: a network that writes, and a classifier for a language with few resources.

Writing, character by character:

    data = kp.text.character_datasets(text, sequence_length=64, batch_size=32)
    model.fit(data.train, shuffle=False, callbacks=[kp.text.CarriedState(), kp.OneCycle(5e-3)])
    print(kp.text.evaluate_characters(model, data.validation_text))
    print(kp.text.generate(model, "Once upon a time", top_p=0.9))

Loss on held-out text says how well a model predicts; what it writes shows what it has learnt.

Telling texts apart with few labels and many texts without any:

    data = kp.text.load_texts("news/")
    print(kp.text.baseline(data.train).evaluate(data.validation))   # the number to beat
    vocabulary = kp.text.build_vocabulary(unlabelled)
    model = kp.text.language_model(vocabulary, texts=unlabelled)
    kp.text.pretrain(model, unlabelled)
    classifier = kp.text.text_classifier(model, data.class_names)
    kp.text.fine_tune(classifier, data.train)
"""

from __future__ import annotations

from keras_practical.carried_state import CarriedState
from keras_practical.character_data import CharacterData, character_datasets
from keras_practical.character_evaluation import CharacterEvaluation, evaluate_characters
from keras_practical.characters import CharacterEmbedding, CharacterVocabulary
from keras_practical.cooccurrence import cooccurrence_vectors
from keras_practical.generation import generate
from keras_practical.language_models import (
    LanguageModelEvaluation,
    evaluate_language_model,
    language_model,
    pretrain,
    text_encoder,
)
from keras_practical.right_to_left import is_right_to_left, isolated, shown_text
from keras_practical.sampling import sampling_probabilities
from keras_practical.subwords import SubwordEmbedding, SubwordVocabulary, build_vocabulary
from keras_practical.text_baseline import TextBaseline, baseline
from keras_practical.text_classifiers import predict_texts, text_classifier
from keras_practical.text_data import LabelledTexts, TextData, load_texts, load_unlabelled_texts
from keras_practical.text_explanations import (
    TextExplanation,
    TextMistake,
    confident_mistakes,
    explain_text,
)
from keras_practical.text_layers import ConcatPooling
from keras_practical.text_normalization import normalize_text
from keras_practical.text_training import fine_tune

__all__ = [
    "CarriedState",
    "CharacterData",
    "CharacterEmbedding",
    "CharacterEvaluation",
    "CharacterVocabulary",
    "ConcatPooling",
    "LabelledTexts",
    "LanguageModelEvaluation",
    "SubwordEmbedding",
    "SubwordVocabulary",
    "TextBaseline",
    "TextData",
    "TextExplanation",
    "TextMistake",
    "baseline",
    "build_vocabulary",
    "character_datasets",
    "confident_mistakes",
    "cooccurrence_vectors",
    "evaluate_characters",
    "evaluate_language_model",
    "explain_text",
    "fine_tune",
    "generate",
    "is_right_to_left",
    "isolated",
    "language_model",
    "load_texts",
    "load_unlabelled_texts",
    "normalize_text",
    "predict_texts",
    "pretrain",
    "sampling_probabilities",
    "shown_text",
    "text_classifier",
    "text_encoder",
]
