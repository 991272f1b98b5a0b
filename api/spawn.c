#include "api/spawn.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Between fork and exec: only async-signal-safe calls. */
static void become(const char *program, char *const *argv, pid_t parent)
{
    static const int RESTORED[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGALRM};
    sigset_t none;

    for (size_t i = 0; i < sizeof RESTORED / sizeof RESTORED[0]; i++)
        signal(RESTORED[i], SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a terminal's Ctrl-C is the server's to handle */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || close_range(3, ~0u, 0))
        _exit(127);
    execv(program, argv);
    _exit(127);
}

pid_t api_spawn(const char *program, char *const *argv)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become(program, argv, parent);
    return pid;
}
