"""Steer an optimizer from inside the compiled training step.

Keras reads an optimizer's momentum once, when it traces the training step, and offers one learning
rate for all layers. Here both become values that the compiled step computes anew each time, from
the optimizer's own step counter. The optimizer keeps its class, its configuration and its
variables: three of its methods are overlaid on this one object, until nothing is steered any more.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import keras

# An optimizer's step counter to a scalar: the value for the step that is being computed.
Curve = Callable[[Any], Any]

_OVERLAYS = (
    "_steering",
    "_backend_update_step",
    "_apply_weight_decay",
    "_get_current_learning_rate",
)

_EXCEPTIONS_FROM_DECAY = (
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_pattern",
)
# The settings of a loss-scaling optimizer itself.
_LOSS_SCALING = ("name", "initial_scale", "dynamic_growth_steps")


@dataclass
class Steering:
    """What is steered in one optimizer; `None` leaves it to Keras."""

    learning_rate: Curve | None = None
    momentum: Curve | None = None
    multipliers: dict[Any, float] | None = None


def innermost(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer that takes the steps: mixed precision wraps it in a loss-scaling one."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if type(inner).__name__ == "MultiOptimizer":
        raise ValueError(
            f"{type(inner).__name__} has no learning rate of its own that could be steered. "
            "Compile the model with a single optimizer; for rates by layer, see "
            "keras_practical.training.layer_rates.layerwise."
        )
    return inner


def step_counter(optimizer: keras.optimizers.Optimizer) -> keras.Variable:
    """Return the variable in which an optimizer counts its steps."""
    return innermost(optimizer)._iterations


def steps_taken(optimizer: keras.optimizers.Optimizer) -> int:
    """Return the number of steps that `optimizer` has taken."""
    # A variable of `tf.distribute` has no `int()`.
    return int(step_counter(optimizer).numpy())


def fresh_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return another optimizer of the same class and settings, not built.

    What a configuration leaves out or can't hold goes along: weight decay's exceptions, and a
    schedule of the user's own class.
    """
    config = optimizer.get_config()
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        kept = {name: config[name] for name in _LOSS_SCALING if name in config}
        return type(optimizer)(fresh_optimizer(inner), **kept)
    schedule = getattr(optimizer, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = schedule
    try:
        other = type(optimizer).from_config(config)
    except Exception as error:
        raise ValueError(
            f"No second {type(optimizer).__name__} can be made from what its get_config() says "
            f"({error}). Let get_config return all arguments of __init__."
        ) from error
    for name in _EXCEPTIONS_FROM_DECAY:
        if name in vars(optimizer):
            vars(other)[name] = vars(optimizer)[name]
    return other


def twin_with_own_state(
    optimizer: keras.optimizers.Optimizer, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Return another optimizer of the same settings, built, with copies of all that it has learnt.

    Multipliers by layer go along; curves don't.
    """
    other = fresh_optimizer(optimizer)
    inner, other_inner = innermost(optimizer), innermost(other)
    other.build(variables)
    if optimizer.built:
        for copy, variable in zip(other.variables, optimizer.variables, strict=True):
            copy.assign(variable.numpy())
    else:
        other_inner._iterations.assign(inner._iterations.numpy())
    steering = vars(inner).get("_steering")
    if steering is not None:
        steer(other_inner, multipliers=steering.multipliers)
    return other


def momentum_name(optimizer: keras.optimizers.Optimizer) -> str | None:
    """Return the name of the setting that acts as momentum; `None` if there is none at work."""
    inner = innermost(optimizer)
    if getattr(inner, "beta_1", None) is not None:
        return "beta_1"
    return "momentum" if getattr(inner, "momentum", 0.0) else None


def steer_rates(
    optimizer: keras.optimizers.Optimizer, multipliers: Sequence[tuple[keras.Variable, float]]
) -> None:
    """Multiply the steps of variables; those that aren't named keep the multiplier 1."""
    inner = innermost(optimizer)
    steer(inner, multipliers={inner._var_key(variable): value for variable, value in multipliers})


def steer(optimizer: keras.optimizers.Optimizer, **settings: Any) -> None:
    """Set fields of the `Steering` of `optimizer`, which must be traced anew afterwards."""
    inner = innermost(optimizer)
    steering = vars(inner).get("_steering") or Steering()
    for name, value in settings.items():
        setattr(steering, name, value)
    for name in _OVERLAYS:
        vars(inner).pop(name, None)
    if all(getattr(steering, field.name) is None for field in fields(steering)):
        return
    # Into the dictionary: TensorFlow's optimizers track, and copy, what is set as an attribute.
    vars(inner)["_steering"] = steering
    vars(inner)["_backend_update_step"] = _update_step_of(inner, steering)
    if steering.learning_rate is not None:
        curve = steering.learning_rate
        vars(inner)["_get_current_learning_rate"] = lambda: curve(inner._iterations)
    if steering.multipliers is not None:
        vars(inner)["_apply_weight_decay"] = _weight_decay_of(inner, steering.multipliers)


def _update_step_of(inner: Any, steering: Steering) -> Callable[..., None]:
    def backend_update_step(gradients: Any, variables: Any, learning_rate: Any) -> None:
        twin = _twin(inner)
        name = momentum_name(inner)
        if steering.momentum is not None and name is not None:
            value = steering.momentum(inner._iterations)
            vars(twin)[name] = _NeverZero(value) if name == "momentum" else value
        multipliers = steering.multipliers
        if multipliers is not None:
            # One product for all variables of a group.
            rates = {factor: learning_rate * factor for factor in set(multipliers.values())}
            rates[1.0] = learning_rate

            def update_step(gradient: Any, variable: Any, rate: Any) -> None:
                rate = rates[multipliers.get(inner._var_key(variable), 1.0)]
                type(inner).update_step(twin, gradient, variable, rate)

            # The step is scaled, not the gradient: Adam would cancel that.
            vars(twin)["update_step"] = update_step
        type(inner)._backend_update_step(twin, gradients, variables, learning_rate)

    return backend_update_step


def _weight_decay_of(inner: Any, multipliers: dict[Any, float]) -> Callable[..., None]:
    def apply_weight_decay(variables: Any) -> None:
        if inner.weight_decay is None:
            return
        # The decay multiplies the weight decay by the learning rate, which it looks up by itself.
        rate = inner.learning_rate
        for variable in variables:
            twin = _twin(inner)
            slowed = rate * multipliers.get(inner._var_key(variable), 1.0)
            vars(twin)["_get_current_learning_rate"] = lambda slowed=slowed: slowed
            type(inner)._apply_weight_decay(twin, [variable])

    return apply_weight_decay


def _twin(optimizer: Any) -> Any:
    """Return another optimizer of the same class on the same variables, free of overlays.

    Settings are changed on a twin because the replicas of a `tf.distribute` strategy trace their
    steps in threads: nothing of the optimizer itself may change for a moment.
    """
    twin = object.__new__(type(optimizer))
    vars(twin).update(vars(optimizer))
    for name in _OVERLAYS:
        vars(twin).pop(name, None)
    return twin


class _NeverZero:
    """A number of the graph that Python may compare: it isn't zero.

    SGD and RMSprop ask `if self.momentum != 0` while they are traced, when the value isn't known.
    All else, such as Muon's arithmetic, is done with the number itself.
    """

    def __init__(self, value: Any) -> None:
        self._value = value

    def __ne__(self, other: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]

    def __gt__(self, other: float) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._value, name)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return self._value

    def __jax_array__(self) -> Any:
        return self._value


def _on_the_number(name: str) -> Callable[..., Any]:
    def method(self: Any, *others: Any) -> Any:
        return getattr(operator, name)(self._value, *others)

    return method


def _with_the_number_last(name: str) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return getattr(operator, name)(other, self._value)

    return method


# Python looks operators up on the class.
for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(_NeverZero, f"__{_name}__", _on_the_number(_name))
    setattr(_NeverZero, f"__r{_name}__", _with_the_number_last(_name))
setattr(_NeverZero, "__neg__", _on_the_number("neg"))  # noqa: B010


def own_rate(optimizer: keras.optimizers.Optimizer) -> keras.Variable | None:
    """Return the variable that holds an optimizer's own rate; `None` if a schedule gives it."""
    rate = innermost(optimizer)._learning_rate
    return rate if isinstance(rate, keras.Variable) else None


def number_in(
    optimizer: keras.optimizers.Optimizer,
    which: Callable[[keras.optimizers.Optimizer], keras.Variable | None],
    *,
    state: Any = None,
) -> float:
    """Return the number in one of an optimizer's variables.

    In the middle of a JAX `fit` it is in `state`, which goes into and out of the training function.
    """
    variable = which(optimizer)
    if state is None:
        value = variable
    else:
        value = state[2][next(n for n, v in enumerate(optimizer.variables) if v is variable)]
    # A copy: JAX's training function can't take over memory that Python has looked at.
    return float(keras.ops.convert_to_numpy(keras.ops.copy(value)))
