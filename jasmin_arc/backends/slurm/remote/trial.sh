# trial OPTION...: print why sbatch would refuse a job; nothing is submitted
trial() { said=$(sbatch --test-only --output=/dev/null "$@" --wrap=true </dev/null 2>&1) || printf '%s\n' "$said"; }
