"""The commands of `ganrun`, in the order of its help. A new one needs an entry here, a module and conf/<name>.yaml."""

from ganrun.commands.command import Command

ALL = (
    Command(
        name="train",
        summary="train a GAN: checkpoints, grids, TensorBoard logs",
        module="train.train",
        work="run",
        usage="""\
usage: ganrun train [key=value | group=choice]... [-m] [--cfg job [--resolve]] [--config-dir DIR]

  ganrun train                                          the demo: an AC-GAN on the built-in digits, 90 seconds
  ganrun train model=dcgan loss=wgan_gp dataset=mnist dataset.root=DATA dataset.download=true
  ganrun train dataset=folder dataset.root=PICTURES dataset.image_size=64 kimg=500
  ganrun train experiment=t3_dcgan28                    the settings of a published run
  ganrun train -m model=mlp,dcgan loss=hinge,wgan_gp    a sweep: every combination
  ganrun train resume=outputs/dcgan-hinge/TIME          continue a run that stopped
  ganrun train … dry_run=true                           only show the plan: parameters, memory, length

also useful, not listed below: dataset.root= dataset.download=true dataset.image_size= dataset.limit= optimizer.lr=
optimizer.players.generator.lr= loss.discriminator_steps=;  --cfg job shows every key of a run
""",
    ),
    Command(
        name="sample",
        summary="draw pictures from a checkpoint",
        module="sample",
        work="sample",
        shared=True,
        usage="""\
usage: ganrun sample ckpt=FILE|RUN|last [key=value]...

  ganrun sample ckpt=last                               a grid from the newest run under outputs/
  ganrun sample ckpt=RUN n=10000 out=fakes.npz          images uint8 (N, H, W, C), and labels
  ganrun sample ckpt=RUN n=100 out=fakes/ seed=7        a folder of PNGs
  ganrun sample ckpt=RUN sweep=c1                       model=infogan: rows of one noise, columns walk a code
""",
    ),
    Command(
        name="synthesize",
        summary="draw labelled pictures from a class-conditional run, for torchvision's ImageFolder",
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
        summary="apply an image-to-image model to your own pictures",
        module="apply.apply",
        work="apply",
        usage="""\
usage: ganrun apply ckpt=FILE|RUN|last input=FILE|FOLDER|ZIP out=FOLDER|x.png [key=value]...

  ganrun apply ckpt=RUN input=photo.jpg out=better.png      one picture, of any size
  ganrun apply ckpt=RUN input=PICTURES out=DONE strips=true    a folder or .zip; names and sub-folders stay
  ganrun apply ckpt=RUN input=NOISY target=CLEAN out=DONE      PSNR and SSIM of each in DONE/results.csv
  ganrun apply ckpt=CYCLEGAN input=B out=A direction=ba        from domain b to domain a
  ganrun apply ckpt=RUN input=PICTURES out=DONE resume=true    go on where it stopped
  ganrun apply ckpt=RUN input=PICTURES out=DONE page=true      before and after with a slider, in DONE/index.html
  ganrun apply model=bicubic input=SMALL target=LARGE out=DONE    the baseline, for the same table
""",
    ),
    Command(
        name="augment-study",
        summary="find out whether a GAN's pictures help a classifier",
        module="study.study",
        work="study",
        usage="""\
usage: ganrun augment-study ckpt=FILE|RUN|last|synthetic=FOLDER|x.zip out=FOLDER [key=value | group=choice]...

  ganrun train model=cgan dataset=digits dataset.split=train kimg=500      a GAN that is not trained on the test digits
  ganrun augment-study ckpt=last out=STUDY                                 do its pictures help a classifier?
  ganrun augment-study ckpt=RUN dataset=mnist dataset.root=DATA dataset.limit=600 test.split=test out=STUDY
  ganrun augment-study synthetic=more.zip dataset=folder dataset.root=PICS test.root=TESTPICS out=STUDY
  ganrun augment-study … classifier=mine --config-dir DIR                  DIR/classifier/mine.yaml, or
  ganrun augment-study … classifier._target_=my_pkg.Net                    Net(channels, image_size, classes, …)

arms: real, real+classic, synthetic, and for each ratio N real+Nx and real+Nx+classic. real+Nx has N times as many
synthetic pictures as real ones; classic: augmented by `transforms`. All train for the same number of steps.
out gets study.md (the table), study.csv (a row for each arm and seed), study.json (all settings), study.png (a plot)
""",
    ),
    Command(
        name="eval",
        summary="score the pictures of a run: FID, KID, precision …",
        module="evaluate",
        work="evaluate",
        shared=True,
        usage="""\
usage: ganrun eval ckpt=FILE|RUN|SWEEP|last | real=A fake=B | compare=[a.json,b.json]   [key=value | group=choice]...

  ganrun eval ckpt=last                                 FID, KID, precision, recall … of 10,000 samples
  ganrun eval ckpt=RUN scores=all out=scores.json       also TSTR, copies, path length; scores.nearest.png
  ganrun eval ckpt=[RUN1,RUN2] n=50000                  side by side; a sweep's folder means all its runs
  ganrun eval real=PICTURES fake=samples.npz            two sets: folders, .zips, or .npz of ganrun sample
  ganrun eval real=NEW fake=F train=LEARNT scores=[copying]        does F repeat the pictures that it learnt from?
  ganrun eval compare=[a.json,b.json]                   refused if they were scored in different ways
  ganrun eval ckpt=RUN features=inception features.weights=FILE    the standard FID

each line: score_network@n  value   (real: the score that real pictures get). Scores with different networks, numbers of
pictures or resizers cannot be compared.
""",
    ),
    Command(
        name="bench",
        summary="measure how fast a run would be, and where its time goes",
        module="bench.bench",
        work="bench",
        usage="""\
usage: ganrun bench [key=value | group=choice of ganrun train]... [bench.seconds=10] [out=x.json]

  ganrun bench model=mlp dataset=mnist dataset.root=DATA        images/s, time of each part, ratio to a tutorial's loop
  ganrun bench experiment=t3_dcgan28 dataset.root=DATA precision=bf16 out=bf16.json    also written as JSON
  ganrun bench -m model=mlp,dcgan batch_size=32,128             a table for each combination
  ganrun bench … bench.naive=false bench.seconds=3              short, without the comparison

It trains on the data of the run, with all hooks but the console, in a temporary folder. The naive loop is that of a
tutorial: Pillow, ToTensor and Normalize for each picture in a DataLoader, default optimizers, float32, gradients of all
players in each backward pass, each loss printed. The loops take turns; a ratio compares two loops in the same round.
All keys of ganrun train can be used, except resume= and init_from=, and these:
""",
    ),
    Command(
        name="doctor",
        summary="check data, networks and learning rates before a long run",
        module="doctor",
        work="examine",
        usage="""\
usage: ganrun doctor [key=value | group=choice of ganrun train]...

  ganrun doctor model=dcgan dataset=folder dataset.root=PICTURES    a line for each check, in less than a minute
  ganrun doctor experiment=mnist_cgan dataset.root=DATA precision=bf16

It checks the pictures and the labels. Then it trains only the discriminator, against an untrained generator. Then each
other player makes one step, and its loss must fall. Each line begins with ok, warn or FAIL; if a check fails, the exit
code is 1. No file is written, but for damaged pictures one: doctor.sheet= shows what the damage does to them. All keys
of ganrun train can be used, except resume= and init_from=, and these:
""",
    ),
    Command(
        name="plot",
        summary="plot the curves of a run, and its samples over time",
        module="plot.plot",
        work="plot",
        needs=(("matplotlib", "pip install 'ganrun[plot]'"),),
        usage="""\
usage: ganrun plot run=RUN|last [out=x.png] [key=value]...

  ganrun plot run=last                  writes RUN/curves.png: losses, gradient norms, accuracy and scores over
                                        thousands of images, and the same samples over time
  ganrun plot run=RUN out=figure.pdf    or .svg

Plots any run that has logged: finished, stopped, failed or still running. Needs matplotlib: pip install 'ganrun[plot]'
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

  ganrun keys                           the names of all keys and choices
  ganrun keys label smoothing           what a key is, its range and default, and which commands have it
  ganrun keys lr_d                      a name that other programs use: amp, imgsz, ema, n_critic …
  ganrun keys loss=wgan_gp              the keys of a choice
  ganrun keys loss=wgan_gp weight       a word; the defaults of that choice come first
""",
    ),
    Command(
        name="info",
        summary="print versions, devices and extras for a bug report",
        module="info",
        work="report",
        composed=False,
        usage="""\
usage: ganrun info

Prints the versions of Python and of packages, the devices, and the installed extras. Paste it into a bug report.
""",
    ),
)

COMMANDS = {command.name: command for command in ALL}
BY_PAGE = {command.page: command for command in ALL}
