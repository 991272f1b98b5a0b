/* The allow-list of keys. Sorted by kid, filled before it is shared, never changed afterwards:
 * looking up takes no lock. A directory is added whole or not at all. Keys are counted, as sets can
 * share them. */
#include "auth/keyset.h"

#include "auth/crypto.h"
#include "auth/jwk.h"
#include "auth/key.h"

#include <stdlib.h>
#include <string.h>

/* RFC 7518 section 3.1 and RFC 8037: all there is for signatures but `none`. */
#define RSA_ROW(name_, digest_, pss_)                                                              \
    {                                                                                              \
        .name = name_, .extension = "pem", .key_type = "RSA", .digest = digest_, .pss = pss_,      \
        .min_bits = 2048, .new_bits = 3072                                                         \
    }
#define EC_ROW(name_, digest_, group_, bytes_)                                                     \
    {                                                                                              \
        .name = name_, .extension = "pem", .key_type = "EC", .group = group_, .digest = digest_,   \
        .signature_bytes = bytes_                                                                  \
    }
#define HMAC_ROW(name_, digest_, bytes_)                                                           \
    {                                                                                              \
        .name = name_, .extension = "secret", .digest = digest_, .signature_bytes = bytes_         \
    }
const struct auth_algorithm auth_algorithm_table[] = {
    RSA_ROW("RS256", "SHA256", false),
    RSA_ROW("RS384", "SHA384", false),
    RSA_ROW("RS512", "SHA512", false),
    RSA_ROW("PS256", "SHA256", true),
    RSA_ROW("PS384", "SHA384", true),
    RSA_ROW("PS512", "SHA512", true),
    EC_ROW("ES256", "SHA256", "prime256v1", 64),
    EC_ROW("ES384", "SHA384", "secp384r1", 96),
    EC_ROW("ES512", "SHA512", "secp521r1", 132),
    {.name = "EdDSA", .extension = "pem", .key_type = "ED25519", .signature_bytes = 64},
    HMAC_ROW("HS256", "SHA256", 32),
    HMAC_ROW("HS384", "SHA384", 48),
    HMAC_ROW("HS512", "SHA512", 64),
    {0},
};

struct auth_keyset {
    struct auth_key **keys; /* ascending by kid */
    size_t count;
    size_t room;
};

const struct auth_algorithm *auth_algorithm_find(const char *name, size_t len)
{
    for (const struct auth_algorithm *row = auth_algorithm_table; row->name; row++)
        if (strlen(row->name) == len && memcmp(row->name, name, len) == 0)
            return row;
    return NULL;
}

enum st auth_keyset_new(struct auth_keyset **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? ST_OK : st_fail(ST_NOMEM, NULL, "out of memory for a set of keys");
}

void auth_keyset_free(struct auth_keyset *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++)
        auth_key_free(set->keys[i]);
    free(set->keys);
    free(set);
}

static int compare_kid(const struct auth_key *key, const char *kid, size_t kid_len)
{
    size_t len = strlen(key->kid);
    int order = memcmp(key->kid, kid, len < kid_len ? len : kid_len);

    if (order != 0)
        return order;
    return len < kid_len ? -1 : len > kid_len;
}

/* Where `kid` is, or where it would go. */
static size_t lower_bound(const struct auth_keyset *set, const char *kid, size_t kid_len)
{
    size_t from = 0, to = set->count;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (compare_kid(set->keys[middle], kid, kid_len) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_at(const struct auth_keyset *set, size_t at, const char *kid, size_t kid_len)
{
    return at < set->count && compare_kid(set->keys[at], kid, kid_len) == 0;
}

bool auth_keyset_has(const struct auth_keyset *set, const char *kid, size_t kid_len)
{
    return is_at(set, lower_bound(set, kid, kid_len), kid, kid_len);
}

const struct auth_key *auth_keyset_find(const struct auth_keyset *set, const char *kid,
                                        size_t kid_len)
{
    size_t at = lower_bound(set, kid, kid_len);

    return is_at(set, at, kid, kid_len) && !is_at(set, at + 1, kid, kid_len) ? set->keys[at] : NULL;
}

const struct auth_key *auth_keyset_find_of(const struct auth_keyset *set, const char *tenant,
                                           const char *kid, size_t kid_len)
{
    for (size_t at = lower_bound(set, kid, kid_len); is_at(set, at, kid, kid_len); at++)
        if (strcmp(set->keys[at]->tenant, tenant) == 0)
            return set->keys[at];
    return NULL;
}

static enum st reserve(struct auth_keyset *set, size_t more)
{
    size_t room = set->count + more;
    struct auth_key **keys;

    if (room <= set->room)
        return ST_OK;
    keys = realloc(set->keys, room * sizeof *keys);
    if (!keys)
        return st_fail(ST_NOMEM, NULL, "out of memory for a set of keys");
    set->keys = keys;
    set->room = room;
    return ST_OK;
}

/* Room is reserved and the kid is new: cannot fail. */
static void insert(struct auth_keyset *set, struct auth_key *key)
{
    size_t at = lower_bound(set, key->kid, strlen(key->kid));

    memmove(set->keys + at + 1, set->keys + at, (set->count - at) * sizeof *set->keys);
    set->keys[at] = key;
    set->count++;
}

static enum st check_new(const struct auth_keyset *set, const struct auth_key *key)
{
    if (!auth_keyset_has(set, key->kid, strlen(key->kid)))
        return ST_OK;
    return st_hint(
        st_fail(ST_CONFLICT, "KID_TAKEN", "there is already a key with the id %s", key->kid),
        "rename one of the two key files; a key id is unique over all tenants");
}

static enum st read_directory(struct auth_keyset *fresh, const char *tenant, const char *directory,
                              const struct fs_list *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct auth_key *key = NULL;
        enum st st = auth_key_read(&key, NULL, tenant, directory, files->names[i]);
        if (st == ST_END)
            continue;
        if (st || (st = check_new(fresh, key)) || (st = reserve(fresh, 1))) {
            auth_key_free(key);
            return st;
        }
        insert(fresh, key);
    }
    return ST_OK;
}

enum st auth_keyset_load(struct auth_keyset *set, const char *tenant, const char *directory,
                         size_t *file_count)
{
    struct auth_keyset fresh = {0};
    struct fs_list files = {0};
    enum st st;

    if (file_count)
        *file_count = 0;
    st = fs_list_dir(&files, directory);
    if (st == ST_NOT_FOUND)
        return ST_OK;
    if (st)
        goto done;
    if ((st = read_directory(&fresh, tenant, directory, &files)))
        goto done;
    for (size_t i = 0; i < fresh.count; i++)
        if ((st = check_new(set, fresh.keys[i])))
            goto done;
    if ((st = reserve(set, fresh.count)))
        goto done;
    for (size_t i = 0; i < fresh.count; i++)
        insert(set, fresh.keys[i]);
    if (file_count)
        *file_count = fresh.count;
    fresh.count = 0; /* they belong to `set` now */
done:
    for (size_t i = 0; i < fresh.count; i++)
        auth_key_free(fresh.keys[i]);
    free(fresh.keys);
    fs_list_free(&files);
    if (st)
        return st_wrap(st, "keys of tenant %s", tenant);
    return ST_OK;
}

enum st auth_keyset_keep(struct auth_keyset *set, const char *tenant,
                         const struct auth_keyset *from)
{
    enum st st = reserve(set, from->count);

    for (size_t i = 0; !st && i < from->count; i++) {
        struct auth_key *key = from->keys[i];

        if (key->fetched || strcmp(key->tenant, tenant) != 0 ||
            auth_keyset_has(set, key->kid, strlen(key->kid)))
            continue;
        atomic_fetch_add(&key->uses, 1);
        insert(set, key);
    }
    return st;
}

enum st auth_keyset_add_fetched(struct auth_keyset *set, const char *tenant,
                                const struct auth_key *key)
{
    struct auth_key *copy = NULL;

    if (auth_keyset_find_of(set, tenant, key->kid, strlen(key->kid)))
        return ST_OK;
    enum st st = auth_jwk_for_tenant(&copy, key, tenant);
    if (!st)
        st = reserve(set, 1);
    if (st)
        auth_key_free(copy);
    else
        insert(set, copy);
    return st;
}

const char *auth_key_tenant(const struct auth_key *key)
{
    return key->tenant;
}

const char *auth_key_algorithm(const struct auth_key *key)
{
    return key->alg->name;
}

static enum st make_pem(struct secret *out, const struct auth_algorithm *alg)
{
    EVP_PKEY *key = NULL;
    enum st st;

    if (alg->new_bits > 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, alg->key_type, alg->new_bits);
    else if (alg->group)
        key = EVP_PKEY_Q_keygen(NULL, NULL, alg->key_type, alg->group);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, alg->key_type);
    if (key)
        st = auth_key_write_pem(out, key);
    else
        st = auth_crypto_fail(ST_IO, NULL, "no %s key could be made", alg->name);
    EVP_PKEY_free(key);
    return st;
}

static enum st make_secret(struct secret *out, const struct auth_algorithm *alg)
{
    size_t bytes = auth_secret_min(alg);
    struct secret random = {0};
    char hex[2 * AUTH_SECRET_LARGEST_MIN + 2];
    enum st st = secret_random(&random, bytes);

    if (!st) {
        digest_hex(hex, random.bytes, random.len);
        memcpy(hex + 2 * bytes, "\n", 2);
        st = secret_copy(out, hex, 2 * bytes + 1);
        secret_wipe(hex, sizeof hex);
    }
    secret_release(&random);
    return st;
}

/* A second file of the same kid under another algorithm would make the directory unloadable. */
static enum st check_kid_is_free(const char *directory, const char *kid)
{
    struct fs_list files = {0};
    enum st st = fs_list_dir(&files, directory);
    size_t len = strlen(kid);

    for (size_t i = 0; !st && i < files.count; i++) {
        struct auth_key_name name;
        if (auth_key_name_parse(&name, files.names[i]) == ST_OK && name.kid_len == len &&
            memcmp(name.kid, kid, len) == 0)
            st = st_hint(
                st_fail(ST_CONFLICT, "KID_TAKEN", "there is already a key file %s", files.names[i]),
                "choose another key id; a key is replaced by adding a new one");
    }
    fs_list_free(&files);
    return st;
}

enum st auth_key_generate(const char *directory, const char *kid, const char *alg)
{
    const struct auth_algorithm *row = auth_algorithm_find(alg, strlen(alg));
    char path[FS_PATH_MAX];
    struct secret text = {0};
    enum st st;

    if (!auth_kid_is_valid(kid, strlen(kid)))
        return st_fail(ST_INVALID, "BAD_KEY", "a key id is 1 to %d of A-Z a-z 0-9 _ -",
                       AUTH_KID_MAX);
    if (!row)
        return st_hint(st_fail(ST_INVALID, "BAD_KEY", "no key can be made for this algorithm"),
                       "one of " AUTH_ALGORITHMS);
    if ((st = check_kid_is_free(directory, kid)) ||
        (st = fs_path(path, "%s/%s.%s.%s", directory, kid, row->name, row->extension)))
        return st;
    st = row->key_type ? make_pem(&text, row) : make_secret(&text, row);
    if (!st)
        st = fs_write_new(path, text.bytes, text.len, 0600);
    secret_release(&text);
    return st;
}
