/* How a child is told its task, and how it ends. */
#include "ingest_kit.h"

#include "ingest/confine.h"
#include "ingest/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define KEY "\x01not\0hex\xff, and long enough that freeing it leaves its end as it was"
#define KEY_LEN (sizeof KEY - 1)
#define END "leaves its end as it was"
#define DEFINITION                                                                                 \
    "{'name':'t','sources':{'t':{'format':'csv'}},'prepare':'SELECT id FROM t',"                   \
    "'key':{'fields':['id'],'protect':'hmac-sha256'},'record':{}}"
#define PATIENCE_S 60 /* a parent that is deaf is ended by SIGALRM */

/* This program as a child: says that it is done, closes its pipe, and stays. */
static int linger(void)
{
    static const char text[] = "{\"result\":{\"rows\":null}}\n";
    struct task t = {0};

    if (task_receive(&t, STDIN_FILENO) || write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        return 1;
    task_release(&t);
    close(STDOUT_FILENO);
    for (;;)
        pause();
}

static void define(struct kit *kit)
{
    kit_define(kit, DEFINITION);
    secret_release(&kit->task.hmac_key);
    kit_ok(secret_copy(&kit->task.hmac_key, KEY, KEY_LEN));
    kit_add(kit, 0, "a.csv", "id\n1\n");
}

static enum st give_up_after_a_while(void *ctx)
{
    unsigned *ticks = ctx;
    return ++*ticks < 50 ? ST_OK : st_fail(ST_CONFLICT, "CANCELED", "given up");
}

static void a_child_that_stays_does_not_make_its_parent_deaf(void **state)
{
    struct kit *kit = *state;
    unsigned ticks = 0;
    int status;
    define(kit);
    alarm(PATIENCE_S);
    kit_fails(spawn_run(NULL, CHILD_CHECK, &kit->task, NULL, give_up_after_a_while, &ticks),
              "CANCELED", "", NULL);
    alarm(0);
    assert_int_equal(ticks, 50);
    /* It was ended, too. */
    assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

struct look {
    unsigned ticks;
    int session_nice; /* of the child */
};

static bool read_file(char text[200], const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, 199);

    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static enum st look_at_the_child(void *ctx)
{
    struct look *look = ctx;
    char path[64], text[200];

    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    assert_true(read_file(text, path));
    snprintf(path, sizeof path, "/proc/%d/autogroup", atoi(text));
    if (read_file(text, path))
        assert_int_equal(sscanf(text, "/autogroup-%*d nice %d", &look->session_nice), 1);
    return give_up_after_a_while(&look->ticks);
}

/* One that works for hours is, one that somebody waits for is not. */
static void only_a_child_that_builds_is_in_a_nice_session(void **state)
{
    struct kit *kit = *state;
    struct look check = {.session_nice = -1}, build = {.session_nice = -1};

    if (geteuid() != 0 || access("/proc/self/autogroup", F_OK) != 0)
        skip(); /* the kernel takes one in 100 ms, of others */
    define(kit);
    kit_fails(spawn_run(NULL, CHILD_CHECK, &kit->task, NULL, look_at_the_child, &check), "CANCELED",
              "", NULL);
    kit_fails(spawn_run(NULL, CHILD_BUILD, &kit->task, NULL, look_at_the_child, &build), "CANCELED",
              "", NULL);
    if (build.session_nice == -1)
        skip(); /* sessions are not told apart */
    assert_int_equal(check.session_nice, 0);
    assert_int_equal(build.session_nice, 10);
}

static void the_key_travels_beside_the_document(void **state)
{
    struct kit *kit = *state;
    char hex[2 * KEY_LEN + 1], text[32768];
    int fds[2];
    uint32_t len;
    define(kit);
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    kit_ok(task_send(fds[1], &kit->task));
    fs_close(&fds[1]);
    ssize_t n = read(fds[0], text, sizeof text);
    fs_close(&fds[0]);
    assert_true(n > 0 && n < (ssize_t)sizeof text);
    memcpy(&len, text, sizeof len);
    assert_int_equal(len, KEY_LEN);
    assert_memory_equal(text + sizeof len, KEY, KEY_LEN);
    const char *document = text + sizeof len + KEY_LEN;
    size_t rest = (size_t)n - sizeof len - KEY_LEN;
    digest_hex(hex, KEY, KEY_LEN);
    assert_int_equal(document[0], '{');
    assert_null(memmem(document, rest, hex, strlen(hex)));
    assert_null(memmem(document, rest, "not\\u0000hex", 12));
    assert_null(memmem(document, rest, "hmac_key", 8));
}

static void a_task_arrives_as_it_was_sent(void **state)
{
    struct kit *kit = *state;
    struct task got = {0};
    int fds[2];
    define(kit);
    kit->task.threads = 3;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    kit_ok(task_send(fds[1], &kit->task));
    fs_close(&fds[1]);
    kit_ok(task_receive(&got, fds[0]));
    fs_close(&fds[0]);
    assert_int_equal(got.hmac_key.len, KEY_LEN);
    assert_memory_equal(got.hmac_key.bytes, KEY, KEY_LEN);
    assert_int_equal(got.threads, 3);
    assert_int_equal(got.memory_bytes, kit->task.memory_bytes);
    assert_string_equal(got.tenant, "dev");
    assert_string_equal(got.key_id, "k1");
    assert_int_equal(got.sources[0].file_count, 1);
    assert_string_equal(got.sources[0].files[0].path, kit->task.sources[0].files[0].path);
    kit_ok(task_file_check(&got.sources[0].files[0]));
    assert_true(json_equal(got.document, kit->task.document));
    task_release(&got);
}

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* whose heap is elsewhere */
/* Looks through the heap, freed pieces included. */
static bool heap_has(const void *bytes, size_t len)
{
    char line[512];
    unsigned long from = 0, to = 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "[heap]"))
            assert_int_equal(sscanf(line, "%lx-%lx", &from, &to), 2);
    fclose(maps);
    assert_true(to > from);
    return memmem((const void *)from, to - from, bytes, len) != NULL;
}

static void no_copy_of_the_key_stays_in_the_heap(void **state)
{
    struct kit *kit = *state;
    struct task got = {0};
    char hex[2 * sizeof END];
    int fds[2];
    define(kit);
    assert_true(heap_has(END, sizeof END - 1));
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    kit_ok(task_send(fds[1], &kit->task));
    fs_close(&fds[1]);
    kit_ok(task_receive(&got, fds[0]));
    fs_close(&fds[0]);
    task_release(&got);
    task_release(&kit->task);
    digest_hex(hex, END, sizeof END - 1);
    assert_false(heap_has(END, sizeof END - 1));
    assert_false(heap_has(hex, 2 * (sizeof END - 1)));
}
#endif

static void a_task_that_is_cut_off_is_refused(void **state)
{
    struct kit *kit = *state;
    struct task got = {0};
    int fds[2];
    uint32_t len = 100;
    (void)kit;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        if (i == 2)
            len = 1u << 20;
        if (i)
            assert_int_equal(write(fds[1], &len, sizeof len), sizeof len);
        fs_close(&fds[1]);
        assert_int_not_equal(task_receive(&got, fds[0]), ST_OK);
        fs_close(&fds[0]);
        task_release(&got);
    }
}

/* ---- without memory ---- */

static long allocations, failing = -1; /* how many there were, and which one fails */

static bool must_fail(void)
{
    return allocations++ == failing;
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

static void *json_malloc(size_t size)
{
    return must_fail() ? NULL : malloc(size);
}

static enum st send_and_receive(struct task *got, const struct task *t)
{
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    allocations = 0;
    enum st st = task_send(fds[1], t);
    failing = -1;
    fs_close(&fds[1]);
    if (!st)
        kit_ok(task_receive(got, fds[0]));
    fs_close(&fds[0]);
    return st;
}

static void without_memory_a_task_is_not_sent_rather_than_with_fewer_files(void **state)
{
    struct kit *kit = *state;
    struct task got = {0};
    long count = 1;

    define(kit);
    kit_add(kit, 0, "b.csv", "id\n2\n");
    json_set_alloc_funcs(json_malloc, free);
    for (long n = -1; n < count; n++) {
        failing = n;
        enum st st = send_and_receive(&got, &kit->task);
        if (n < 0)
            count = allocations;
        if (st)
            assert_int_equal(st, ST_NOMEM);
        else
            assert_int_equal(got.sources[0].file_count, 2);
        task_release(&got);
    }
    json_set_alloc_funcs(malloc, free);
    assert_true(count > 10);
}

static void a_path_that_is_no_text_is_refused(void **state)
{
    struct kit *kit = *state;
    char path[FS_PATH_MAX];

    define(kit);
    kit_write(kit, "b\xff.csv", "id\n2\n");
    kit_path(path, kit, "b\xff.csv");
    kit_fails(task_add_file(&kit->task, 0, path, NULL), "SOURCE_FILE", "", NULL);
    kit_fails(task_add_file(&kit->task, 0, path, "b.csv"), "SOURCE_FILE", "", NULL);
}

static bool may_open(const struct kit *kit, const char *name, int flags)
{
    char path[FS_PATH_MAX];
    if (fs_path(path, "%s/%s", kit->dir, name))
        return false;
    int fd = open(path, flags | O_CLOEXEC, 0600);
    return fd >= 0 && close(fd) == 0;
}

static void a_child_sees_no_file_but_its_own(void **state)
{
    struct kit *kit = *state;
    int status = -1;
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1)
        skip(); /* this kernel has no such wall */
    define(kit);
    kit_write(kit, "others.csv", "id\n2\n");
    kit_path(kit->task.directory, kit, "build");
    kit_ok(fs_mkdir(kit->task.directory, 0700));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        confine_files(&kit->task);
        _exit(!may_open(kit, "a.csv", O_RDONLY) << 0 | may_open(kit, "a.csv", O_WRONLY) << 1 |
              may_open(kit, "others.csv", O_RDONLY) << 2 |
              may_open(kit, "new.csv", O_WRONLY | O_CREAT) << 3 |
              !may_open(kit, "build/x.mdb", O_RDWR | O_CREAT) << 4 |
              (open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0) << 5);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_child_that_stays_does_not_make_its_parent_deaf),
        kit_test(only_a_child_that_builds_is_in_a_nice_session),
        kit_test(the_key_travels_beside_the_document),
        kit_test(a_task_arrives_as_it_was_sent),
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
        kit_test(no_copy_of_the_key_stays_in_the_heap),
#endif
        kit_test(a_task_that_is_cut_off_is_refused),
        kit_test(without_memory_a_task_is_not_sent_rather_than_with_fewer_files),
        kit_test(a_path_that_is_no_text_is_refused),
        kit_test(a_child_sees_no_file_but_its_own),
    };
    if (argc == 2 && !strncmp(argv[1], "child-", 6))
        return linger();
    return cmocka_run_group_tests_name("ingest_spawn", tests, NULL, NULL);
}
