/* Many HMACs at once. Rounds of SHA-256 wait for each other, and a processor has room for those of
 * other messages meanwhile: libipsec-mb takes half the time for each message of a burst. Its
 * package is for amd64 alone, and for processors with SSE 4.2 and AES; elsewhere messages are
 * summed one after another. */
#include "base/digest_internal.h"

#include "base/clock.h"

#include <stdlib.h>

#ifdef EVERLINE_IPSEC_MB
#include <intel-ipsec-mb.h>
#endif

#define SCRATCH_ALIGNMENT ((size_t)64)
#define BURSTS 8 /* to tell which way is faster: 0.1 ms */

struct digest_many {
    const struct digest_hmac *hmac;
#ifdef EVERLINE_IPSEC_MB
    void *scratch;    /* of the manager, which is in it */
    IMB_MGR *manager; /* NULL: not for this processor */
    IMB_JOB jobs[DIGEST_MANY];
#endif
};

#ifdef EVERLINE_IPSEC_MB
static size_t scratch_size(void)
{
    return (imb_get_mb_mgr_size() + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}
#endif

void digest_many_free(struct digest_many *m)
{
    if (!m)
        return;
#ifdef EVERLINE_IPSEC_MB
    if (m->scratch)
        secret_wipe(m->scratch, scratch_size()); /* the last block of each lane */
    free(m->scratch);
#endif
    free(m);
}

#ifdef EVERLINE_IPSEC_MB

_Static_assert(DIGEST_MANY <= IMB_MAX_BURST_SIZE, "a burst takes them all");

static bool begin(struct digest_many *m, bool narrow)
{
    if (narrow)
        init_mb_mgr_avx2(m->manager);
    else
        init_mb_mgr_auto(m->manager, NULL);
    return imb_get_errno(m->manager) == 0;
}

/* The shortest time of BURSTS; UINT64_MAX: not for this processor. */
static uint64_t burst_ns(struct digest_many *m, bool narrow)
{
    static const unsigned char text[DIGEST_BYTES];
    unsigned char digest[DIGEST_BYTES];
    uint64_t best_ns = UINT64_MAX;

    if (!begin(m, narrow))
        return UINT64_MAX;
    for (unsigned i = 0; i < DIGEST_MANY; i++) {
        m->jobs[i].src = text;
        m->jobs[i].msg_len_to_hash_in_bytes = sizeof text;
        m->jobs[i].auth_tag_output = digest;
    }
    for (unsigned i = 0; i < BURSTS; i++) {
        uint64_t begun_ns = clock_steady_ns();
        IMB_SUBMIT_HASH_BURST(m->manager, m->jobs, DIGEST_MANY, IMB_AUTH_HMAC_SHA_256);
        uint64_t took_ns = clock_steady_ns() - begun_ns;
        best_ns = took_ns < best_ns ? took_ns : best_ns;
    }
    return best_ns;
}

/* With AVX-512 the library takes 16 messages side by side, with AVX2 two by the processor's own
 * instructions for SHA-256: which is faster depends on the processor. */
static void begin_fastest(struct digest_many *m)
{
    bool narrow = burst_ns(m, true) < burst_ns(m, false);

    if (!begin(m, narrow))
        m->manager = NULL;
}

enum st digest_many_new(struct digest_many **out, const struct digest_hmac *hmac)
{
    struct digest_many *m = *out = calloc(1, sizeof *m);

    if (m)
        m->scratch = aligned_alloc(SCRATCH_ALIGNMENT, scratch_size());
    if (!m || !m->scratch) {
        digest_many_free(m);
        *out = NULL;
        return st_fail(ST_NOMEM, NULL, "out of memory");
    }
    m->hmac = hmac;
    m->manager = imb_set_pointers_mb_mgr(m->scratch, 0, 1);
    for (size_t i = 0; i < DIGEST_MANY; i++) {
        IMB_JOB *job = &m->jobs[i];
        job->hash_start_src_offset_in_bytes = 0;
        job->auth_tag_output_len_in_bytes = DIGEST_BYTES;
        job->u.HMAC._hashed_auth_key_xor_ipad = (const uint8_t *)hmac->inner;
        job->u.HMAC._hashed_auth_key_xor_opad = (const uint8_t *)hmac->outer;
    }
    begin_fastest(m);
    return ST_OK;
}

/* False: the library did not take all of them. It refuses an empty message. */
static bool sum_burst(struct digest_many *m, const struct digest_message *messages, size_t count)
{
    if (!m->manager)
        return false;
    for (size_t i = 0; i < count; i++) {
        m->jobs[i].src = messages[i].bytes;
        m->jobs[i].msg_len_to_hash_in_bytes = messages[i].len;
        m->jobs[i].auth_tag_output = messages[i].out;
    }
    return IMB_SUBMIT_HASH_BURST(m->manager, m->jobs, (uint32_t)count, IMB_AUTH_HMAC_SHA_256) ==
           count;
}

#else

enum st digest_many_new(struct digest_many **out, const struct digest_hmac *hmac)
{
    struct digest_many *m = *out = calloc(1, sizeof *m);

    if (!m)
        return st_fail(ST_NOMEM, NULL, "out of memory");
    m->hmac = hmac;
    return ST_OK;
}

static bool sum_burst(struct digest_many *m, const struct digest_message *messages, size_t count)
{
    (void)m, (void)messages, (void)count;
    return false;
}

#endif

void digest_many_sum(struct digest_many *m, const struct digest_message *messages, size_t count)
{
    if (sum_burst(m, messages, count))
        return;
    for (size_t i = 0; i < count; i++)
        digest_hmac_sum(messages[i].out, m->hmac, messages[i].bytes, messages[i].len);
}
