# Read by the scripts beside it: whether a process runs. One that has ended counts as gone, also where nobody has asked for
# its end yet.
alive() {
  kill -0 "$1" 2>/dev/null && case $(ps -o stat= -p "$1" 2>/dev/null) in Z*) false ;; esac
}
