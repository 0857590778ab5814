"""synonyms: what other programs call a setting, and the key or group that does it here. No Hydra, no torch."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from ganrun.config.comments import choices_with


class Meaning(NamedTuple):
    """What a word means, and how it is said here: the first of `keys` that the command has; no keys: not at all."""

    words: str
    keys: tuple[str, ...] = ()
    more: str = ""


def _meaning(words: str, *keys: str, more: str = "") -> Meaning:
    return Meaning(words, keys, more)


D, G = "optimizer.players.discriminator", "optimizer.players.generator"
SIZE = _meaning("the size of the pictures", "dataset.image_size", "image_size")
BOTH_SIZES = _meaning(
    "the size of the pictures",
    "dataset.image_size",
    "image_size",
    more="model.size=small|paper chooses the network of models that have two",
)
CROP = _meaning("training on parts of the pictures", "dataset.crop", more="dataset.image_size resizes whole ones")
DATA = _meaning(
    "the place of the data", "dataset.root", "root", "input", more="dataset=mnist|cifar10|folder|… says which they are"
)
EPOCHS = _meaning("the length in passes over the data", "epochs", more="or steps=, kimg=, minutes=")
STEPS = _meaning("the length in steps", "steps", more="or epochs=, kimg=, minutes=")
SAVING = _meaning("steps between two checkpoints", "checkpoint.every")
SHOWING = _meaning("steps between two grids of samples", "grids.every")
LOGGING = _meaning("steps between two rows of numbers", "log.every")
PRECISION = _meaning("mixed precision", "precision", more="precision=bf16; there is no fp16")
DEVICE = _meaning("the device", "device", more="device=auto|cpu|cuda|cuda:1|mps; several GPUs: torchrun")
WORKERS = _meaning(
    "processes that decode pictures",
    "dataset.workers",
    more="for dataset=folder and others whose pictures are streamed",
)
D_STEPS = _meaning("the discriminator's steps for each of the generator's", "loss.discriminator_steps")
CLIP_WEIGHTS = _meaning("the bound of a WGAN's weights", "loss.clip")
CLIP_NORM = _meaning("the most that the norm of a player's gradient may be", "optimizer.clip_norm")
PENALTY = _meaning(
    "the weight of a gradient penalty",
    "loss.penalties.gradient.weight",
    more="R1's is gamma, loss=r1",
)
BETAS = _meaning("Adam's two betas, given together", "optimizer.betas", more="optimizer.betas=[0.5,0.999]")
LATENT = _meaning("how many numbers the noise has", "model.latent.size")
G_WIDTH = _meaning("the generator's channels", "model.generator.base_channels")
D_WIDTH = _meaning("the discriminator's channels", "model.discriminator.base_channels")
BATCH = _meaning("pictures of a step", "batch_size")
OUT = _meaning("where it is written", "out")
START = _meaning("the weights to begin from", "ckpt", "run", "init_from", more="resume=RUN goes on with a run of yours")
EMA = _meaning("the half-life of the weight average, in kimg", "average.half_life", "weights")
SMOOTHING = _meaning("one-sided label smoothing", "loss.smoothing")
SEED = _meaning("the seed", "seed", more="same seed, same run: nothing else makes it deterministic")
COLOURS = _meaning("1 for grey or 3 for colour pictures", "dataset.channels", "channels")
CLASSES = _meaning("how many classes there are", "dataset.classes", more="found in the data; model=cgan uses them")
NORM = _meaning(
    "the discriminator's normalisation", "model.discriminator.norm", more="batch|instance|layer|spectral|none"
)
ACCUMULATE = _meaning("parts in which a batch is played", "accumulate")
AUGMENT = _meaning(
    "what the discriminator sees the pictures through", "augmentation", more="diffaugment|ada|instance_noise"
)
NUMBER = _meaning("how many pictures", "n", "per_class", "grids.count")
LR = _meaning("the learning rate", "optimizer.lr", "lr")
MODEL = _meaning("the networks", "model", "classifier")
BOARD = _meaning("TensorBoard's file", "hooks.tensorboard", more="it is on; ~hooks.tensorboard leaves it away")
NONE = {
    "wandb": "Weights & Biases",
    "dropout": "dropout of all networks at once; model.discriminator.dropout= is there with model=dcgan_course",
    "mode_seeking": "a mode-seeking loss; model.feature_matching= and loss=lecam work against collapse too",
    "warmup": "a warm-up of the learning rate; schedule=linear|cosine lower it",
    "patience": "stopping early by a score; checkpoint.best= keeps the best",
    "early_stopping": "stopping early by a score; checkpoint.best= keeps the best",
    "fp16": "fp16; precision=bf16 halves the memory too",
}  # fmt: skip

# key of an earlier version -> its name today; the row of a group stands for the keys in it. A row stays for one minor
# version.
RENAMED: dict[str, str] = {}

SYNONYMS: dict[str, Meaning] = {
    word: meaning
    for words, meaning in {
        "lr_d d_lr lrd lr_disc lr_discriminator discriminator_lr disc_lr lr_critic critic_lr": _meaning(
            "the learning rate of the discriminator", f"{D}.lr"),
        "lr_g g_lr lrg lr_gen lr_generator generator_lr gen_lr": _meaning(
            "the learning rate of the generator", f"{G}.lr"),
        "learning_rate learningrate base_lr": LR,
        "amp mixed_precision use_amp half autocast bf16 dtype": PRECISION,
        "imgsz img_size image_size imgsize resolution load_size fine_size img_dim isize": SIZE,
        "crop_size random_crop gt_size patch_size hr_size": CROP,
        "size": BOTH_SIZES,
        "workers num_workers n_workers n_cpu nworkers dataloader_workers": WORKERS,
        "nz z_dim zdim latent_dim latent_size noise_dim dim_z z_size n_z": LATENT,
        "label_smoothing smooth smoothing real_label smooth_labels": SMOOTHING,
        "gpu gpus gpu_id gpu_ids cuda no_cuda use_cuda use_gpu ngpu accelerator": DEVICE,
        "save_every save_freq save_interval snap checkpoint_every save_steps save_epoch_freq": SAVING,
        "n_critic critic_iters d_steps disc_steps ncritic n_disc d_iters diters discriminator_steps": D_STEPS,
        "lambda_gp gp_weight gp_lambda lambda_grad gradient_penalty gp r1_gamma gamma": PENALTY,
        "lambda_l1 l1_weight lambda_l1_loss l1_lambda": _meaning("the weight of the L1 distance", "model.l1_weight"),
        "clip_value weight_clip clamp clip_weights weight_clipping wclip": CLIP_WEIGHTS,
        "grad_clip clip_grad clip_grad_norm gradient_clip_val max_grad_norm gradient_clip clip_norm": CLIP_NORM,
        "beta1 beta2 beta_1 beta_2 betas b1 b2 adam_beta1 adam_beta2": BETAS,
        "n_epochs niter num_epochs nepoch nepochs max_epochs epoch": EPOCHS,
        "max_steps iterations iters n_iters num_iters max_iter total_steps num_steps niters n_steps step": STEPS,
        "bs batch batchsize batch_sz train_batch_size": BATCH,
        "data dataroot data_path dataset_path data_dir root datadir data_root dataset_dir train_dir path": DATA,
        "name output outdir output_dir logdir log_dir save_dir out_dir results_dir exp_name run_name": OUT,
        "load checkpoint ckpt pretrained load_from weights_path ckpt_path resume_from model_path init": START,
        "ema ema_decay ema_rate ema_kimg ema_beta use_ema": EMA,
        "sample_interval sample_every sample_freq samples_every vis_every plot_every display_freq sample_step": SHOWING,
        "log_every log_freq log_interval log_steps print_freq print_every logging_steps": LOGGING,
        "tensorboard tb use_tensorboard": BOARD,
        "ngf gf_dim g_channels base_channels ch": G_WIDTH,
        "ndf df_dim d_channels": D_WIDTH,
        "n_classes num_classes nclass classes n_labels": CLASSES,
        "in_channels channels nc n_channels img_channels grayscale rgb num_channels": COLOURS,
        "random_seed manual_seed deterministic randomseed rng_seed manualseed": SEED,
        "spectral_norm sn use_sn spectral norm batchnorm": NORM,
        "augment ada diffaug aug augmentations diff_augment": AUGMENT,
        "accumulate_grad_batches grad_accum gradient_accumulation_steps accum accumulation_steps": ACCUMULATE,
        "n_samples num_samples nsamples num_images n_images": NUMBER,
        "ndim width hidden_dim hidden_size hidden": _meaning("the widths of dense layers", "model.generator.widths"),
        "half_life": EMA,
        "optim optimiser": _meaning("the optimizer", "optimizer"),
        "scheduler lr_scheduler lr_schedule lr_policy": _meaning("how the learning rate goes down", "schedule"),
        "arch net network architecture gan": MODEL,
        "criterion gan_mode loss_type gan_loss": _meaning("the loss", "loss"),
        "recipe preset": _meaning("a published run", "experiment"),
        "hflip mirror horizontal_flip random_flip": _meaning("mirroring half of the pictures", "dataset.flip"),
        "rot90 use_rot rotation rotate quarter_turns": _meaning("random quarter turns", "dataset.turns"),
        "max_images subset n_train num_train max_samples": _meaning("use only so many pictures", "dataset.limit"),
        "n_threads num_threads cpus nthreads omp_num_threads": _meaning("CPU threads", "threads"),
        "temperature truncation truncation_psi psi": _meaning("a truncated latent"),
        "verbose quiet": _meaning("seconds between two lines on the screen", "hooks.console.seconds",
            more="hooks=quiet prints none"),
        "val_split validation_split test_size holdout val_ratio val_fraction": _meaning(
            "the share of the pictures that a run does not learn from", "test_share"),
        "psnr ssim lpips": _meaning("scores of pictures that have an answer", "scores", "hooks",
            more="hooks=scores, ganrun eval, ganrun apply target="),
        "shave crop_border": _meaning("pixels cut off before a picture is compared with its target", "border",
            more="hooks.scores.border= with hooks=scores"),
        "fid score metric metrics": _meaning("scores of the samples while it trains", "hooks", more="hooks=scores"),
    }.items()
    for word in words.split()
} | {word: Meaning(words) for word, words in NONE.items()}  # fmt: skip


def renamed(key: str) -> str | None:
    """A clause that says the new name of a key that had another one before, or of the group around it."""
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        if new := RENAMED.get(".".join(parts[:end])):
            return f"it is called {'.'.join([new, *parts[end:]])} now"
    return None


def undashed(message: str) -> str:
    """A clause for `--batch-size 3`, from argparse's complaint: settings are written without dashes."""
    found = re.search(r"unrecognized arguments: --(\w[\w-]*)", message)
    return f"settings have no dashes: {found[1].replace('-', '_')}=VALUE; " if found else ""


def meaning_of(word: str) -> Meaning | None:
    """What other programs mean by a word: lr-d, LR_D and "lr d" are one word."""
    plain = re.sub(r"[\s.\-]+", "_", word.strip("- ").lower())
    return SYNONYMS.get(plain) or SYNONYMS.get(plain.replace("_", ""))


def meant(word: str, has: Callable[[str], bool]) -> str | None:
    """A clause for a key that there is not, by its meaning; `has` tells which keys and groups there are.

    None where the meaning is not known, or no key that does it is there.
    """
    meaning = meaning_of(word)
    if meaning is None:
        return None
    if not meaning.keys:
        return f"ganrun has no setting for {meaning.words}"
    found = next((key for key in meaning.keys if has(key)), None)
    return f"{meaning.words} is {found}={_more(meaning)}" if found else None


def meant_elsewhere(word: str) -> str | None:
    """The same for a key that only other choices have: it names them."""
    meaning = meaning_of(word)
    if meaning is None or not meaning.keys:
        return None
    there = choices_with("train", meaning.keys[0])
    return f"{meaning.words} is {meaning.keys[0]}={f', there with {there}' if there else ''}{_more(meaning)}"


def _more(meaning: Meaning) -> str:
    return f" ({meaning.more})" if meaning.more else ""
