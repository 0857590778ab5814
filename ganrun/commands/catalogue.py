"""The commands of `ganrun`, in the order of its help. To add one: an entry here, its module, and conf/<name>.yaml."""

from ganrun.commands.command import Command

ALL = (
    Command(
        name="train",
        summary="play the game: checkpoints, grids, TensorBoard logs",
        module="train.train",
        work="run",
        usage="""\
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
    ),
    Command(
        name="sample",
        summary="pictures from a checkpoint alone",
        module="sample",
        work="sample",
        shared=True,
        usage="""\
usage: ganrun sample ckpt=FILE|RUN|last [key=value]...

  ganrun sample ckpt=last                               a grid from the newest run under outputs/
  ganrun sample ckpt=RUN n=10000 out=fakes.npz          images uint8 (N, H, W, C), and labels
  ganrun sample ckpt=RUN n=100 out=fakes/ seed=7        a folder of PNGs
""",
    ),
    Command(
        name="synthesize",
        summary="labelled pictures from a conditional run, as ImageFolder reads them",
        module="synthesize",
        work="synthesize",
        shared=True,
        usage="""\
usage: ganrun synthesize ckpt=FILE|RUN|last out=FOLDER|x.zip [key=value]...

  ganrun synthesize ckpt=RUN per_class=1000 out=more.zip    labelled pictures for torchvision's ImageFolder
""",
    ),
    Command(
        name="apply",
        summary="a picture-to-picture run on your own pictures",
        module="apply.apply",
        work="apply",
        usage="""\
usage: ganrun apply ckpt=FILE|RUN|last input=FILE|FOLDER|ZIP out=FOLDER|x.png [key=value]...

  ganrun apply ckpt=RUN input=photo.jpg out=better.png      one picture, of any size
  ganrun apply ckpt=RUN input=PICTURES out=DONE strips=true    a tree or .zip; names and sub-folders are kept
  ganrun apply ckpt=RUN input=NOISY target=CLEAN out=DONE      PSNR and SSIM of each in DONE/results.csv
  ganrun apply ckpt=CYCLEGAN input=B out=A direction=ba        from domain b to domain a
""",
    ),
    Command(
        name="augment-study",
        summary="does a GAN's synthetic data help a classifier?",
        module="study.study",
        work="study",
        usage="""\
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
    ),
    Command(
        name="eval",
        summary="how good its pictures are: FID, KID, precision …",
        module="evaluate",
        work="evaluate",
        shared=True,
        usage="""\
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
    ),
    Command(
        name="bench",
        summary="how fast a run would be, and where its time goes",
        module="bench.bench",
        work="bench",
        usage="""\
usage: ganrun bench [key=value | group=choice of ganrun train]... [bench.seconds=10] [out=x.json]

  ganrun bench model=mlp dataset=mnist dataset.root=DATA        images/s, where a step's time goes, × the naive loop
  ganrun bench experiment=t3_dcgan28 dataset.root=DATA precision=bf16 out=bf16.json    the same as JSON, too
  ganrun bench -m model=mlp,dcgan batch_size=32,128             a table each
  ganrun bench … bench.naive=false bench.seconds=3              without the comparison, at once

It trains for real on the run's own data, with the hooks of a run but the console's, in a folder that is removed again.
The naive loop is the tutorial's: each picture through Pillow, ToTensor and Normalize in a DataLoader, default
optimizers, float32, everybody's gradients, each loss printed. The loops take turns; ratios are paired in each round.
All keys of ganrun train belong here but resume= and init_from=; besides:
""",
    ),
    Command(
        name="doctor",
        summary="before a long run: are data, networks and rates in order?",
        module="doctor",
        work="examine",
        usage="""\
usage: ganrun doctor [key=value | group=choice of ganrun train]...

  ganrun doctor model=dcgan dataset=folder dataset.root=PICTURES    before a long run: a line a check, under a minute
  ganrun doctor experiment=mnist_cgan dataset.root=DATA precision=bf16

It looks at the pictures and labels, lets the discriminator alone tell reals from an untrained generator's pictures,
then lets each other player move once, and looks at what that did. ok, warn or FAIL is before each line; exit code 1
where a check failed. Nothing is written. All keys of ganrun train belong here; besides:
""",
    ),
    Command(
        name="plot",
        summary="a run's curves and samples over time on one picture",
        module="plot.plot",
        work="plot",
        needs=(("matplotlib", "pip install 'ganrun[plot]'"),),
        usage="""\
usage: ganrun plot run=RUN|last [out=x.png] [key=value]...

  ganrun plot run=last                  curves.png in the run's folder: losses, gradient norms, accuracy, scores against
                                        thousands of images, and the same samples over time
  ganrun plot run=RUN out=figure.pdf    or .svg

Of any run that has logged: finished, stopped, failed or still going on. Needs matplotlib: pip install 'ganrun[plot]'
""",
    ),
    Command(
        name="keys",
        summary="find a setting by its name, its meaning or another program's word for it: keys lr_d",
        module="keys",
        work="find",
        composed=False,
        positional="word",
        several=True,
        usage="""\
usage: ganrun keys [WORD]... [group=choice]... [--config-dir DIR]

  ganrun keys                           every key and choice by name
  ganrun keys label smoothing           what a key is, its range and default, and which commands have it
  ganrun keys lr_d                      by the name that other programs use: amp, imgsz, ema, n_critic …
  ganrun keys loss=wgan_gp              the keys of a choice
  ganrun keys loss=wgan_gp weight       a word, with the defaults of that choice first
""",
    ),
    Command(
        name="info",
        summary="versions, devices, extras: put it into a bug report",
        module="info",
        work="report",
        composed=False,
        usage="""\
usage: ganrun info

Versions of Python and packages, devices, and which extras are installed: paste it into a bug report.
""",
    ),
)

COMMANDS = {command.name: command for command in ALL}
BY_PAGE = {command.page: command for command in ALL}
