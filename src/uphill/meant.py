"""Other libraries' names for our settings, and which of our settings such a name means.

The names are those of Stable-Baselines3, RL Zoo, CleanRL, RLlib, Spinning Up and Tianshou.
"""

import difflib
from collections.abc import Collection, Iterable, Sequence

_STEP = ("optimizer.learning_rate", "optimizer.max_kl")
_MEANT: dict[tuple[str, ...], Sequence[str]] = {
    ("lr", "learning_rate", "step_size", "alpha", "pi_lr", "policy_lr", "anneal_lr"): _STEP,
    ("vf_lr", "value_lr", "critic_lr"): ("baseline.optimizer.learning_rate",),
    ("max_kl", "kl_limit", "trust_region", "delta"): ("optimizer.max_kl",),
    ("max_grad_norm", "grad_clip", "clip_grad_norm"): ("optimizer.max_grad_norm",),
    ("adam_eps", "rms_prop_eps"): ("optimizer.eps",),
    ("gamma", "discount", "discount_factor"): ("estimator.gamma",),
    ("lam", "lambda", "gae_lambda", "td_lambda"): ("estimator.lam",),
    ("n_steps", "num_steps", "rollout_length", "horizon", "unroll_length"): ("sampling.num_steps",),
    ("episodes_per_batch", "n_episodes", "num_episodes"): ("sampling.per_env",),
    ("n_envs", "num_envs", "num_workers", "num_env"): ("envs", "sampling.num_envs"),
    ("clip_range", "clip_coef", "clip_ratio", "clip_param", "eps_clip", "clip", "epsilon"): (
        "surrogate.epsilon",
    ),
    ("ent_coef", "entropy_coef", "entropy_coeff", "entropy_weight", "ent"): ("entropy",),
    ("vf_coef", "vf_coeff", "value_coef", "vf_loss_coeff"): ("baseline.coefficient",),
    ("n_epochs", "update_epochs", "num_sgd_iter", "train_pi_iters", "epochs"): ("num_epochs",),
    ("train_v_iters", "n_critic_updates", "vf_iters"): ("baseline.num_steps",),
    ("n_minibatches", "batch_size", "minibatch_size", "sgd_minibatch_size"): ("num_minibatches",),
    ("norm_adv", "normalize_advantage", "normalize_advantages", "standardize_advantages"): (
        "scale_advantages",
    ),
    ("normalize", "norm_obs", "obs_norm", "normalize_obs"): ("normalize_observations",),
    ("norm_reward", "norm_rew", "normalize_reward", "reward_norm"): ("normalize_rewards",),
    ("hidden", "hidden_sizes", "hidden_size", "net_arch", "hid", "units", "layers"): (
        "policy.hidden",
    ),
    ("activation", "activation_fn"): ("policy.activation",),
    ("log_std_init", "init_log_std"): ("policy.initial_log_std",),
    ("share_features_extractor", "shared_network", "vf_share_layers"): ("baseline.shares_trunk",),
    ("total_timesteps", "timesteps", "n_timesteps", "total_steps", "max_steps", "num_timesteps"): (
        "steps",
    ),
    ("num_seeds", "n_seeds"): ("seeds",),
    ("random_seed",): ("seed",),
    ("alg", "algorithm", "agent", "method"): ("algo",),
    ("eval_freq", "eval_interval", "evaluation_interval"): ("eval_every",),
    ("save_freq", "checkpoint_freq", "save_interval"): ("checkpoint_every",),
    ("n_eval_episodes", "eval_episodes"): ("episodes",),
    ("output", "out_dir", "output_dir", "log_dir", "log_folder", "save_dir", "run_dir"): ("out",),
    ("load", "pretrained", "trained_agent", "init", "warm_start"): ("init_from",),
    ("track", "logger", "tensorboard_log", "tensorboard", "wandb"): ("log",),
    ("silent", "verbose", "verbosity", "progress_bar"): ("quiet",),
    ("vec_env", "asynchronous", "async", "is_async"): ("async_envs", "is_async"),
    ("time_limit", "max_ep_len", "episode_length"): ("max_episode_steps",),
}
_BY_NAME = {name: targets for names, targets in _MEANT.items() for name in names}

_OF_ANOTHER_QUANTITY = {
    **dict.fromkeys(
        ("batch_size", "minibatch_size", "sgd_minibatch_size"),
        "the number of minibatches, not their size",
    ),
    "verbose": "the opposite",
    "verbosity": "the opposite",
    "progress_bar": "the opposite",
}
_ABSENT = {
    **dict.fromkeys(
        ("clip_range_vf", "clip_vloss", "vf_clip_param", "value_clip", "clip_value_loss"),
        "value losses are not clipped here (docs/algorithms.md)",
    ),
    **dict.fromkeys(
        ("use_sde", "sde_sample_freq", "use_gsde"),
        "state-dependent exploration is not included, since it gained nothing (docs/defaults.md)",
    ),
    "policy_kwargs": "its settings are those of the policy, such as policy.hidden",
    "device": "JAX chooses the device; the environment variable JAX_PLATFORMS=cpu keeps it on the "
    "CPU, and devices shares a seed among several",
}


def meant_by(name: str, known: Collection[str]) -> list[str]:
    """Which of the known settings (such as `optimizer.learning_rate`) an unknown name may mean: the
    one that other libraries call so; otherwise those that end in this name; otherwise those with
    the most similar spelling."""
    last = name.rpartition(".")[2]
    for written in dict.fromkeys((name, last)):
        if there := [target for target in _BY_NAME.get(written, ()) if target in known]:
            return there[:1]
    if same := [path for path in known if path.rpartition(".")[2] == last]:
        return sorted(same, key=lambda path: (not path.startswith("policy"), path))
    return _alike(name, known)


def remark(name: str) -> str:
    """A remark, to follow the setting's name in a sentence, if that setting counts another quantity
    than the one with this name in other libraries."""
    said = _OF_ANOTHER_QUANTITY.get(name.rpartition(".")[2])
    return f" ({said})" if said else ""


def absent(name: str) -> str:
    """Why there is no equivalent of this setting of other libraries, if that is known."""
    return _ABSENT.get(name.rpartition(".")[2], "")


def called_elsewhere(name: str) -> Sequence[str]:
    """Our settings that other libraries call so, whether or not they exist here."""
    return _BY_NAME.get(name.rpartition(".")[2], ())


def field_meant(name: str, fields: Collection[str]) -> str | None:
    """Which field of a part an unknown name may mean, if any is similar."""
    theirs = [target.rpartition(".")[2] for target in called_elsewhere(name)]
    likely = [field for field in theirs if field in fields] or _alike(name, fields)
    return likely[0] if likely else None


def _alike(name: str, known: Iterable[str]) -> list[str]:
    """The settings with the most similar spelling, as a whole or in their last word."""
    last = name.rpartition(".")[2]

    def likeness(path: str) -> float:
        pairs = ((name, path), (last, path.rpartition(".")[2]))
        return max(difflib.SequenceMatcher(None, *pair).ratio() for pair in pairs)

    found = {path: likeness(path) for path in known}
    best = max(found.values(), default=0.0)
    return [path for path, x in found.items() if x == best] if best > 0.65 else []
