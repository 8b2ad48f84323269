/* Calls f once, from inside an OpenMP region of two threads: where a program has its own, that is where models run. */
int call_inside(int (*f)(void)) {
  int status = 0;
#pragma omp parallel num_threads(2)
#pragma omp master
  status = f();
  return status;
}
