"""The only folder that touches names private to Keras: on a Keras release, the list of what to try.

`PRIVATE_NAMES` says of each what for, and since which release of Keras it is there, as far as
looked up (3.0, 3.3, 3.5, 3.7, 3.10 and 3.15; "3.0" also stands for earlier). A test compares the
table with the code of this folder, and keeps such names out of all others.
"""

PRIVATE_NAMES = {
    "_apply_weight_decay": ("3.0", "decoupled weight decay by layer: it reads the rate by itself"),
    "_backend_update_step": ("3.0", "a rate or momentum in the compiled step"),
    "_build_shapes_dict": ("3.0", "whether a layer works on vectors or on maps"),
    "_compile_loss": ("3.0", "a compiled loss put back as it was"),
    "_compile_metrics": ("3.0", "compiled metrics put back as they were, or taken over"),
    "_exclude_from_weight_decay": ("3.0", "weight decay's exceptions, of an optimizer made anew"),
    "_exclude_from_weight_decay_pattern": ("3.3", "weight decay's exceptions by name"),
    "_flatten_layers": ("3.0", "all layers inside of a model"),
    "_get_call_context": ("3.0", "whether a layer is called by itself or by a model"),
    "_get_current_learning_rate": ("3.0", "the rate of a step, from a curve"),
    "_inbound_nodes": ("3.0", "the tensors that a layer gives, for its need of memory"),
    "_inputs_struct": ("3.0", "how a functional model's inputs are nested"),
    "_iterations": ("3.5", "the variable that counts an optimizer's steps"),
    "_embeddings": ("3.3", "the weight that LoRA leaves frozen"),
    "_kernel": ("3.3", "the weight that LoRA leaves frozen"),
    "_layers": ("3.0", "whether a layer holds others"),
    "_nodes_by_depth": ("3.0", "the tensors of a model's own graph, where layers are shared"),
    "_non_trainable_variables": ("3.0", "a layer's own variables"),
    "_learning_rate": ("3.0", "an optimizer's schedule, not only its present rate"),
    "_outputs_struct": ("3.0", "how a functional model's outputs are nested"),
    "_save_model": ("3.0", "what is saved before `BackupAndRestore` writes a checkpoint"),
    "_seed_generators": ("3.0", "whether a layer draws random numbers, and from what"),
    "_trainable_variables": ("3.0", "a layer's own variables"),
    "_user_loss_weights": ("3.0", "the `loss_weights` given to `compile`"),
    "_user_metrics": ("3.0", "the `metrics` given to `compile`"),
    "_user_weighted_metrics": ("3.0", "the `weighted_metrics` given to `compile`"),
    "_var_key": ("3.0", "which of an optimizer's variables a weight is"),
    "global_seed_generator": ("3.0", "Keras's global seed, put back as it was"),
}
