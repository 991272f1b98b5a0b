#include "base/program.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_MS 20

enum st program_sibling(char out[FS_PATH_MAX], const char *name)
{
    char self[FS_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0)
        return st_fail_errno(errno, "finding this program's place");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    return fs_path(out, "%s/%s", self, name);
}

/* Between fork and exec: only async-signal-safe calls. */
static void become(const char *program, char *const *argv, int in, int out, pid_t parent)
{
    static const int RESTORED[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGALRM};
    sigset_t none;

    for (size_t i = 0; i < sizeof RESTORED / sizeof RESTORED[0]; i++)
        signal(RESTORED[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a terminal's Ctrl-C is its parent's to handle */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if ((in >= 0 && dup2(in, STDIN_FILENO) < 0) || (out >= 0 && dup2(out, STDOUT_FILENO) < 0))
        _exit(127);
    if (getppid() != parent || close_range(3, ~0u, 0))
        _exit(127);
    execv(program, argv);
    _exit(127);
}

pid_t program_start(const char *program, char *const *argv, int in, int out)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become(program, argv, in, out, parent);
    return pid;
}

enum st program_wait(int *status, pid_t pid, enum st (*go_on_fn)(void *ctx), void *ctx)
{
    pid_t ended;

    while ((ended = waitpid(pid, status, WNOHANG)) == 0) {
        enum st st = go_on_fn ? go_on_fn(ctx) : ST_OK;
        if (st) {
            kill(pid, SIGKILL);
            waitpid(pid, status, 0);
            return st;
        }
        poll(NULL, 0, LOOK_MS);
    }
    return ended < 0 ? st_fail_errno(errno, "waiting for a program") : ST_OK;
}
