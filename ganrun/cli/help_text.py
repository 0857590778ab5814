"""pages: what lies in conf/, read as text, for --help and for "did you mean". No Hydra, no torch."""

from __future__ import annotations

from pathlib import Path

from ganrun.config.tree import conf_folder, group_choices

HEAD = {
    "train": """\
usage: ganrun train [key=value | group=choice]... [-m] [--cfg job [--resolve]] [--config-dir DIR]

  ganrun train                                          the demo: an AC-GAN on the embedded digits, a minute and a half
  ganrun train model=dcgan loss=wgan_gp dataset=mnist dataset.root=DATA dataset.download=true
  ganrun train dataset=folder dataset.root=PICTURES dataset.image_size=64 kimg=500
  ganrun train experiment=t3_dcgan28                    a published run, with its own numbers
  ganrun train -m model=mlp,dcgan loss=hinge,wgan_gp    a sweep: every combination
  ganrun train resume=outputs/dcgan-hinge/TIME          go on where a run stopped
  ganrun train … dry_run=true                           what it would be: parameters, memory, length

often used beside the keys below: dataset.root= dataset.download=true dataset.image_size= dataset.limit= optimizer.lr=
optimizer.players.generator.lr= loss.discriminator_steps=;  --cfg job shows every key of a composition
""",
    "sample": """\
usage: ganrun sample ckpt=FILE|RUN|last [key=value]...

  ganrun sample ckpt=last                               a grid from the newest run under outputs/
  ganrun sample ckpt=RUN n=10000 out=fakes.npz          images uint8 (N, H, W, C), and labels
  ganrun sample ckpt=RUN n=100 out=fakes/ seed=7        a folder of PNGs
""",
    "synthesize": """\
usage: ganrun synthesize ckpt=FILE|RUN|last out=FOLDER|x.zip [key=value]...

  ganrun synthesize ckpt=RUN per_class=1000 out=more.zip    labelled pictures for torchvision's ImageFolder
""",
    "apply": """\
usage: ganrun apply ckpt=FILE|RUN|last input=FILE|FOLDER|ZIP out=FOLDER|x.png [key=value]...

  ganrun apply ckpt=RUN input=photo.jpg out=better.png      one picture, of any size
  ganrun apply ckpt=RUN input=PICTURES out=DONE strips=true    a tree or .zip; names and sub-folders are kept
  ganrun apply ckpt=RUN input=NOISY target=CLEAN out=DONE      PSNR and SSIM of each in DONE/results.csv
  ganrun apply ckpt=CYCLEGAN input=B out=A direction=ba        from domain b to domain a
""",
    "augment-study": """\
usage: ganrun augment-study ckpt=FILE|RUN|last|synthetic=FOLDER|x.zip out=FOLDER [key=value | group=choice]...

  ganrun train model=cgan dataset=digits dataset.split=train kimg=500      a GAN that never saw the test digits
  ganrun augment-study ckpt=last out=STUDY                                 does it help a classifier of digits?
  ganrun augment-study ckpt=RUN dataset=mnist dataset.root=DATA dataset.limit=600 test.split=test out=STUDY
  ganrun augment-study synthetic=more.zip dataset=folder dataset.root=PICS test.root=TESTPICS out=STUDY
  ganrun augment-study … classifier=mine --config-dir DIR                  DIR/classifier/mine.yaml, or
  ganrun augment-study … classifier._target_=my_pkg.Net                    Net(channels, image_size, classes, …)

arms: real, real+classic, synthetic, and for each ratio real+1x, real+1x+classic: N times as many synthetic pictures as
real ones, classic = `transforms`. All are trained for the same number of steps.
out holds study.md (the table), study.csv (one row an arm and seed), study.json (the whole protocol), study.png (a plot)
""",
    "eval": """\
usage: ganrun eval ckpt=FILE|RUN|SWEEP|last | real=A fake=B | compare=[a.json,b.json]   [key=value | group=choice]...

  ganrun eval ckpt=last                                 FID, KID, precision, recall … of 10,000 samples, and of reals
  ganrun eval ckpt=RUN scores=all out=scores.json       also TSTR, copies, path length; x.nearest.png shows copies
  ganrun eval ckpt=[RUN1,RUN2] n=50000                  side by side; a sweep's folder: all of its runs
  ganrun eval real=PICTURES fake=samples.npz            two sets: folders, .zips, or .npz of ganrun sample
  ganrun eval compare=[a.json,b.json]                   refused where they were not scored alike
  ganrun eval ckpt=RUN features=inception features.weights=FILE    the standard FID

each line: score_network@n  value   (real: the same score of real pictures, the floor). Scores of two networks, of two
numbers of pictures or of two resizers do not compare.
""",
}

HEAD["bench"] = """\
usage: ganrun bench [key=value | group=choice of ganrun train]... [bench.seconds=10] [out=x.json]

  ganrun bench model=mlp dataset=mnist dataset.root=DATA        images/s, where a step's time goes, × the naive loop
  ganrun bench experiment=t3_dcgan28 dataset.root=DATA precision=bf16 out=bf16.json    the same as JSON, too
  ganrun bench -m model=mlp,dcgan batch_size=32,128             a table each
  ganrun bench … bench.naive=false bench.seconds=3              without the comparison, at once

It trains for real on the run's own data, with the hooks of a run but the console's, in a folder that is removed again.
The naive loop is the tutorial's: each picture through Pillow, ToTensor and Normalize in a DataLoader, default
optimizers, float32, everybody's gradients, each loss printed. The loops take turns; ratios are paired in each round.
All keys of ganrun train belong here but resume= and init_from=; besides:
"""

HEAD["doctor"] = """\
usage: ganrun doctor [key=value | group=choice of ganrun train]...

  ganrun doctor model=dcgan dataset=folder dataset.root=PICTURES    before a long run: a line a check, under a minute
  ganrun doctor experiment=mnist_cgan dataset.root=DATA precision=bf16

It looks at the pictures and labels, lets the discriminator alone tell reals from an untrained generator's pictures,
then lets each other player move once, and looks at what that did. ok, warn or FAIL is before each line; exit code 1
where a check failed. Nothing is written. All keys of ganrun train belong here; besides:
"""

HEAD["plot"] = """\
usage: ganrun plot run=RUN|last [out=x.png] [key=value]...

  ganrun plot run=last                  curves.png in the run's folder: losses, gradient norms, accuracy, scores against
                                        thousands of images, and the same samples over time
  ganrun plot run=RUN out=figure.pdf    or .svg

Of any run that has logged: finished, stopped, failed or still going on. Needs matplotlib: pip install 'ganrun[plot]'
"""

FLAGS = """\
flags
  -m                    sweep over comma-separated values
  --cfg job --resolve   show the whole config and stop
  --info                how Hydra found it
  --config-dir DIR      add your own yaml; classes are found in DIR and the folder around it
  --hydra-help          Hydra's own flags
  --debug               show the traceback of a mistake
exit codes: 0 done, 1 failed, 2 not understood, 130/143 stopped by a signal
"""


def help_page(command: str, config_dir: Path | None = None) -> str:
    """What `ganrun COMMAND --help` prints: examples, every key with its comment, every choice with one line."""
    page = command.replace("-", "_")
    parts = [HEAD[command], "keys\n" + _keys(conf_folder() / f"{page}.yaml")]
    for group, choices in group_choices(config_dir, page).items():
        listed = {name: text for name, text in choices.items() if "/" not in name}
        width = max((len(name) for name in listed), default=0)
        parts.append(f"{group}=\n" + "".join(f"  {name:<{width}}  {text}\n" for name, text in listed.items()))
    return "\n".join([*parts, FLAGS])


def _keys(page: Path) -> str:
    """The page's own lines, without the parts that are Hydra's."""
    lines = page.read_text(encoding="utf-8").split("\nhydra:")[0].splitlines()[1:]
    start = 0
    if lines and lines[0].startswith("defaults:"):
        start = next(number for number, line in enumerate(lines) if number and not line.startswith(" "))
    return "".join(f"  {line}\n" if line else "\n" for line in lines[start:])


OVERVIEW = """\
ganrun: train GANs from the command line, one config per part.

  ganrun train [overrides]      play the game: checkpoints, grids, TensorBoard logs   (ganrun train --help)
  ganrun sample ckpt=… [...]    pictures from a checkpoint alone                      (ganrun sample --help)
  ganrun synthesize ckpt=… […]  labelled pictures from a conditional run, as ImageFolder reads them
  ganrun apply ckpt=… […]       a picture-to-picture run on your own pictures         (ganrun apply --help)
  ganrun augment-study [...]    does a GAN's synthetic data help a classifier?        (ganrun augment-study --help)
  ganrun eval ckpt=… [...]      how good its pictures are: FID, KID, precision …      (ganrun eval --help)
  ganrun bench [overrides]      how fast a run would be, and where its time goes      (ganrun bench --help)
  ganrun doctor [overrides]     before a long run: are data, networks and rates in order?
  ganrun plot run=… [...]       a run's curves and samples over time on one picture   (ganrun plot --help)
  ganrun info                   versions, devices, extras: put it into a bug report
  ganrun --version

first steps
  ganrun train                  an AC-GAN learns to write the ten digits: a minute and a half, no download
  ganrun sample ckpt=last       draw from it
  tensorboard --logdir outputs  watch the curves

shell completion: eval "$(ganrun --shell-completion install=bash)"     (or zsh's bashcompinit, or install=fish)
"""
