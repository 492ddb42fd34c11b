#!/bin/sh
# Every scenario of the simulated world in turn, with new seeds each round, until stopped or failed.
set -eu
sim=${1:-build}/kith-sim
seed=${SIM_SEED:-$(date +%s)}
while :; do
    for scenario in $("$sim" --list | sed 's/ .*//'); do
        echo "== $scenario --seed $seed"
        "$sim" --scenario "$scenario" --seed "$seed" --json || {
            echo "sim: $scenario failed; again: $sim --scenario $scenario --seed $seed" >&2
            exit 1
        }
    done
    seed=$((seed + 1))
done
