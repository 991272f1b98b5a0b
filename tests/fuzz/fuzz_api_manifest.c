/* manifest.json of an inbox batch, from whoever may write there. What is taken names files below
 * the batch only, with a source each; what is refused says where. */
#include "api/watch_batch.h"
#include "store/name.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BELOW "things/batch/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/tmp/everline-fuzz-XXXXXX";
static int batches = -1, manifest = -1;

static void require(bool held)
{
    if (!held)
        abort();
}

static void remove_directory(void)
{
    require(fs_remove_tree(directory) == ST_OK);
}

static void make_directory(void)
{
    char path[FS_PATH_MAX];

    require(mkdtemp(directory) != NULL && atexit(remove_directory) == 0);
    require(fs_path(path, "%s/batch", directory) == ST_OK);
    require(fs_mkdir(path, 0700) == ST_OK);
    require(fs_path(path, "%s/batch/manifest.json", directory) == ST_OK);
    manifest = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    batches = open(directory, O_RDONLY | O_DIRECTORY);
    require(batches >= 0 && manifest >= 0);
}

static void check_sources(const json_t *sources, bool only_one)
{
    const json_t *item;
    size_t i;

    require(json_array_size(sources) >= 1 && json_array_size(sources) <= STORE_JOB_FILES_MAX);
    json_array_foreach(sources, i, item)
    {
        const char *path = json_string_value(json_object_get(item, "path"));
        const char *source = json_string_value(json_object_get(item, "source"));
        require(path && source && json_object_size(item) == 2);
        require(strncmp(path, BELOW, strlen(BELOW)) == 0);
        require(store_inbox_path_check(path + strlen(BELOW)) == ST_OK);
        require(!only_one || strcmp(source, "things") == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_starter starter = {.tenant = "dev", .dataset = "things", .watched = true};
    json_t *sources = NULL;

    if (batches < 0)
        make_directory();
    if (size < 1)
        return 0;
    if (data[0] & 1)
        strcpy(starter.source, "things");
    /* Over what is there, and never to nothing: ext4 would sync it. */
    require(pwrite(manifest, data + 1, size - 1, 0) == (ssize_t)(size - 1) &&
            ftruncate(manifest, (off_t)(size - 1)) == 0);
    enum st st = watch_batch_sources(&sources, batches, &starter, "batch");
    if (st == ST_OK)
        check_sources(sources, data[0] & 1);
    else
        require(st_message()[0] && !sources);
    json_decref(sources);
    return 0;
}
