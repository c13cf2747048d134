# Sourced by the scripts beside it. Tells whether a process is running; a zombie counts as ended.
alive() {
  kill -0 "$1" 2>/dev/null && case $(ps -o stat= -p "$1" 2>/dev/null) in Z*) false ;; esac
}
