/* The worker's own writev is that of everybody in its process. */
#include "ingest_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIECE (32 << 10)

/* Who is told of none of them writes them again. */
static void what_a_full_pipe_took_is_told(void **state)
{
    static char bytes[PIECE];
    const struct iovec parts[] = {{bytes, PIECE}, {bytes, PIECE}};
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(fcntl(ends[1], F_SETPIPE_SZ, PIECE), PIECE);
    assert_int_equal(writev(ends[1], parts, 2), PIECE);
    errno = 0;
    assert_int_equal(writev(ends[1], parts, 2), -1);
    assert_int_equal(errno, EAGAIN);
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_full_pipe_took_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
