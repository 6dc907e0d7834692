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
    classifier = kp.text.classifier(model, data.class_names)
    kp.text.fine_tune(classifier, data.train)

Rooms: `files`, `sources`, `normalization`, `problems` and `loading` (`load_texts`),
`units`, `right_to_left`, `vocabulary`, `layers`, `counts`, `language_models`, `classifiers`,
`fine_tuning`, `baselines`, `explanations`; `characters` for the network that writes.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.text.baselines import TextBaseline, baseline
    from keras_practical.text.characters.data import CharacterData, character_datasets
    from keras_practical.text.characters.evaluation import CharacterEvaluation, evaluate_characters
    from keras_practical.text.characters.generation import generate, sampling_probabilities
    from keras_practical.text.characters.state import CarriedState
    from keras_practical.text.characters.vocabulary import CharacterEmbedding, CharacterVocabulary
    from keras_practical.text.classifiers import classifier, predict_texts
    from keras_practical.text.counts import cooccurrence_vectors
    from keras_practical.text.explanations import (
        TextExplanation,
        TextMistake,
        confident_mistakes,
        explain_text,
    )
    from keras_practical.text.fine_tuning import fine_tune
    from keras_practical.text.language_models import (
        LanguageModelEvaluation,
        evaluate_language_model,
        language_model,
        pretrain,
        text_encoder,
    )
    from keras_practical.text.layers import ConcatPooling
    from keras_practical.text.loading import (
        LabelledTexts,
        TextData,
        load_texts,
        load_unlabelled_texts,
    )
    from keras_practical.text.normalization import normalize_text
    from keras_practical.text.right_to_left import is_right_to_left, isolated, shown_text
    from keras_practical.text.vocabulary import (
        SubwordEmbedding,
        SubwordVocabulary,
        build_vocabulary,
    )

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
    "classifier",
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
    "text_encoder",
]

_ROOMS = {
    "text.baselines": ("TextBaseline", "baseline"),
    "text.characters.data": ("CharacterData", "character_datasets"),
    "text.characters.evaluation": ("CharacterEvaluation", "evaluate_characters"),
    "text.characters.generation": ("generate", "sampling_probabilities"),
    "text.characters.state": ("CarriedState",),
    "text.characters.vocabulary": ("CharacterEmbedding", "CharacterVocabulary"),
    "text.classifiers": ("classifier", "predict_texts"),
    "text.counts": ("cooccurrence_vectors",),
    "text.explanations": ("TextExplanation", "TextMistake", "confident_mistakes", "explain_text"),
    "text.fine_tuning": ("fine_tune",),
    "text.language_models": (
        "LanguageModelEvaluation",
        "evaluate_language_model",
        "language_model",
        "pretrain",
        "text_encoder",
    ),
    "text.layers": ("ConcatPooling",),
    "text.loading": ("LabelledTexts", "TextData", "load_texts", "load_unlabelled_texts"),
    "text.normalization": ("normalize_text",),
    "text.right_to_left": ("is_right_to_left", "isolated", "shown_text"),
    "text.vocabulary": ("SubwordEmbedding", "SubwordVocabulary", "build_vocabulary"),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
