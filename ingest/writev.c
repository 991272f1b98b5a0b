/* This program's writev, which LMDB finds before the C library's: a long write goes to the kernel
 * in pieces. LMDB writes 64 pages with one call, and Linux since 6.16 copies them into one large
 * folio without looking whether another thread should run: where memory is slow a core is taken for
 * up to 0.8 ms, and a lookup that comes then waits for all of it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/uio.h>

#define PIECE_BYTES (32u << 10)

typedef ssize_t (*writev_fn)(int fd, const struct iovec *parts, int count);

static pthread_once_t next_once = PTHREAD_ONCE_INIT;
static writev_fn next;

static void find_next(void)
{
    void *found = dlsym(RTLD_NEXT, "writev");
    memcpy(&next, &found, sizeof(next)); /* ISO C has no cast from an object to a function */
}

/* As many parts as make a piece, at least one: *bytes gets their length. */
static int piece(const struct iovec *parts, int count, size_t *bytes)
{
    int n = 1;

    *bytes = parts[0].iov_len;
    while (n < count && *bytes < PIECE_BYTES && parts[n].iov_len <= PIECE_BYTES - *bytes)
        *bytes += parts[n++].iov_len;
    return n;
}

/* As writev(2), except that an error of the disk behind the first piece is told at once, and not by
 * a short count: the caller then knows that the disk is full, and not only that something is
 * missing. Who may try again has to know what was written. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t written = 0;
    size_t bytes;

    pthread_once(&next_once, find_next);
    if (count <= 0)
        return next(fd, parts, count);
    for (int at = 0, n; at < count; at += n) {
        n = piece(parts + at, count - at, &bytes);
        ssize_t done = next(fd, parts + at, n);
        if (done < 0)
            return written && (errno == EAGAIN || errno == EINTR) ? written : -1;
        written += done;
        if ((size_t)done < bytes)
            break;
    }
    return written;
}
