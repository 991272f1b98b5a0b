/* The ingest's child gets no environment, so that the thread sanitizer's options are built in:
 * DuckDB is not instrumented, and what it synchronises cannot be seen. */
const char *__tsan_default_options(void);

const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1:halt_on_error=1";
}
