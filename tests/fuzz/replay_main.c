/* Runs a fuzz target over files and directories of inputs, without libFuzzer: so that every build
 * replays what was once found. */
#include "base/fs.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int run_file(const char *path)
{
    struct buf input;

    buf_init(&input, INPUT_MAX);
    if (fs_read(&input, path)) {
        fprintf(stderr, "%s: %s\n", path, st_message());
        exit(1);
    }
    (void)LLVMFuzzerTestOneInput((const unsigned char *)(input.data ? input.data : ""), input.len);
    buf_release(&input);
    return 1;
}

static int run_directory(const char *path)
{
    char file[FS_PATH_MAX];
    struct fs_list list;
    int count = 0;

    if (fs_list_dir(&list, path)) {
        fprintf(stderr, "%s\n", st_message());
        exit(1);
    }
    for (size_t i = 0; i < list.count; i++)
        if (fs_path(file, "%s/%s", path, list.names[i]) == ST_OK)
            count += run_file(file);
    fs_list_free(&list);
    return count;
}

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        struct stat sb;
        count += stat(argv[i], &sb) == 0 && S_ISDIR(sb.st_mode) ? run_directory(argv[i])
                                                                : run_file(argv[i]);
    }
    printf("%d inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
