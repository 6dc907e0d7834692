"""The only folder that touches names private to Keras: on a Keras release, the list of what to try.

`PRIVATE_NAMES` says of each what for, and since which release of Keras it is there, as far as
looked up (3.0, 3.3, 3.5, 3.7, 3.10 and 3.15; "3.0" also stands for earlier). A test compares the
table with the code of this folder, and keeps such names out of all others.
"""

PRIVATE_NAMES = {
    "_apply_weight_decay": (),
    "_backend_update_step": (),
    "_compile_loss": (),
    "_compile_metrics": (),
    "_exclude_from_weight_decay_keys": (),
    "_exclude_from_weight_decay_pattern": (),
    "_flatten_layers": (),
    "_get_current_learning_rate": (),
    "_inbound_nodes": (),
    "_inputs_struct": (),
    "_iterations": (),
    "_layers": (),
    "_save_model": (),
    "_seed_generators": (),
    "_trainable_variables": (),
    "_user_metrics": (),
    "_user_weighted_metrics": (),
    "_var_key": (),
    "global_seed_generator": (),
}
