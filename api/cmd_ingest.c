/* everline-ingest as a helper of the command line. It is looked for beside this program and nowhere
 * else: the two are built and installed together, and PATH is not ours to trust. */
#include "api/cmd_util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define INGEST_NAME "everline-ingest"
#define EXIT_CANNOT_EXEC 127

enum st api_cmd_ingest_path(char out[FS_PATH_MAX])
{
    char self[FS_PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

    if (len < 0)
        return st_fail_errno(errno, "/proc/self/exe");
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    enum st st = fs_path(out, "%s/" INGEST_NAME, self);
    if (!st && access(out, X_OK) != 0)
        st = st_hint(st_fail(ST_UNREACHABLE, "NO_INGEST", "%s is not there, or not a program", out),
                     "build or install " INGEST_NAME " in the same directory as everline");
    return st;
}

enum st api_cmd_ingest_exec(char **argv)
{
    char path[FS_PATH_MAX];
    enum st st = api_cmd_ingest_path(path);

    if (st)
        return st;
    argv[0] = path;
    execv(path, argv);
    return st_hint(st_fail(ST_UNREACHABLE, "NO_INGEST", "%s cannot be run", path), "%s",
                   strerror(errno));
}

/* A file in memory, so that the child reads its input at its own pace and nothing can block. */
static enum st input_file(int *fd, const struct buf *input)
{
    *fd = memfd_create("definition", MFD_CLOEXEC);
    if (*fd < 0)
        return st_fail_errno(errno, "memfd_create");
    for (size_t done = 0; done < input->len;) {
        ssize_t n = write(*fd, input->data + done, input->len - done);
        if (n < 0 && errno != EINTR)
            return st_fail_errno(errno, "writing the helper's input");
        if (n > 0)
            done += (size_t)n;
    }
    return lseek(*fd, 0, SEEK_SET) == 0 ? ST_OK : st_fail_errno(errno, "lseek");
}

static void __attribute__((noreturn))
become_ingest(char **argv, const char *path, int input, bool quiet)
{
    if (input >= 0 && dup2(input, STDIN_FILENO) < 0)
        _exit(EXIT_CANNOT_EXEC);
    if (quiet && dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        _exit(EXIT_CANNOT_EXEC);
    execv(path, argv);
    _exit(EXIT_CANNOT_EXEC);
}

/* The inverse of st_exit_code. */
static enum st status_of_exit(int wait_status)
{
    static const enum st STATUSES[] = {ST_OK, ST_INVALID, ST_USAGE, ST_UNREACHABLE, ST_HELD};
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;

    if (code == 0)
        return ST_OK;
    if (code == EXIT_CANNOT_EXEC)
        return st_fail(ST_UNREACHABLE, "NO_INGEST", INGEST_NAME " cannot be run");
    if (code < 0)
        return st_fail(ST_UNAVAILABLE, "INGEST_DIED", INGEST_NAME " was ended by signal %d",
                       WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0);
    return st_fail(code < 5 ? STATUSES[code] : ST_INVALID, NULL,
                   INGEST_NAME " refused it (its message is above)");
}

enum st api_cmd_ingest_run(char **argv, const struct buf *input, bool quiet)
{
    char path[FS_PATH_MAX];
    int fd = -1, wait_status = 0;
    enum st st = api_cmd_ingest_path(path);

    if (!st && input)
        st = input_file(&fd, input);
    if (st)
        goto done;
    argv[0] = path;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        become_ingest(argv, path, fd, quiet);
    if (child < 0) {
        st = st_fail_errno(errno, "fork");
        goto done;
    }
    while (waitpid(child, &wait_status, 0) < 0)
        if (errno != EINTR) {
            st = st_fail_errno(errno, "waitpid");
            goto done;
        }
    st = status_of_exit(wait_status);
done:
    fs_close(&fd);
    return st;
}
