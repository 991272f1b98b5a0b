/* The child parses files that others wrote, with a large library, next to an HMAC key. So it is its
 * own process, in its own session, dies with its parent, cannot gain privileges, leaves no core, is
 * not traceable, runs at low priority and, where the kernel has Landlock, sees no file but its own.
 * None of these failing is a reason not to ingest: each is one more wall, not the only one.
 */
#include "ingest/confine.h"

#include "base/process.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NICENESS 10

/* Where the kernel shares its time among sessions (sched_autogroup), niceness counts within one:
 * the session has to be nice, too. The same niceness, and not the last: nobody starves. */
static void come_last(void)
{
    int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
    ssize_t n = write(fd, "10", 2); /* NICENESS; between fork and exec nothing is formatted */
    (void)n;                        /* there is none, or another wrote to its own a moment ago */
    close(fd);
}

void confine_before_exec(int parent_pid, bool comes_last)
{
    static const int restored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    sigset_t none;
    sigemptyset(&none);
    for (size_t i = 0; i < sizeof restored / sizeof *restored; i++)
        signal(restored[i], SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent_pid)
        _exit(1);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* setpriority and not nice: no library in between. */
    setpriority(PRIO_PROCESS, 0, NICENESS);
    if (comes_last)
        come_last();
    umask(077);
}

void confine_early(void)
{
    process_no_core();
    umask(077);
}

#define READ_RIGHTS (LANDLOCK_ACCESS_FS_READ_FILE)
#define TREE_RIGHTS                                                                                \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define ALL_RIGHTS                                                                                 \
    (TREE_RIGHTS | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                 \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | \
     LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |   \
     LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static void allow(int ruleset, const char *path, uint64_t rights)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = fd};
    syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    close(fd);
}

void confine_files(const struct task *t)
{
    static const char *const trees[] = {"/usr", "/lib", "/lib64", "/proc/self", "/sys/fs/cgroup"};
    struct landlock_ruleset_attr attr = {.handled_access_fs = ALL_RIGHTS};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return;
    for (size_t i = 0; i < sizeof trees / sizeof *trees; i++)
        allow(ruleset, trees[i], TREE_RIGHTS);
    for (size_t i = 0; i < STORE_SOURCES_MAX; i++)
        for (size_t j = 0; j < t->sources[i].file_count; j++)
            allow(ruleset, t->sources[i].files[j].path, READ_RIGHTS);
    if (t->directory[0])
        allow(ruleset, t->directory, ALL_RIGHTS);
    syscall(SYS_landlock_restrict_self, ruleset, 0);
    close(ruleset);
}
