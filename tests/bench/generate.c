/* Batches of a made-up eligibility file, for the benchmarks: any size, and the same bytes for the
 * same arguments.
 *
 * Batch B (0, 1, ...) is the same people a while later: each time one in a thousand has left, as
 * many have joined, and one in fifty has another answer. Names are as frequent as names are, the
 * first ones of a table much more than its last. No two people share birth date and SSN tail, and
 * so no two have one key: person i has pair i * STEP modulo their number, to which STEP is coprime.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_YEAR 1932
#define DAYS 32768 /* of birth */
#define TAILS 10000
#define PAIRS ((uint64_t)DAYS * TAILS)
#define STEP 198491317u
#define LEAVING 1000 /* one in so many, each batch */
#define CHANGING 50
#define MILLION 1000000

static const char *const FIRST[] = {
    "James",     "Mary",      "Robert",     "Patricia", "John",       "Jennifer",   "Michael",
    "Linda",     "David",     "Elizabeth",  "William",  "Barbara",    "Richard",    "Susan",
    "Joseph",    "Jessica",   "Thomas",     "Karen",    "Carlos",     "Sarah",      "Daniel",
    "Lisa",      "Matthew",   "Nancy",      "Anthony",  "Sandra",     "Mark",       "Betty",
    "Steven",    "Ashley",    "Andrew",     "Emily",    "Paul",       "Kimberly",   "Joshua",
    "Margaret",  "Kenneth",   "Donna",      "Kevin",    "Michelle",   "Brian",      "Carol",
    "Ronaldo",   "Amanda",    "Timothy",    "Melissa",  "Jason",      "Deborah",    "Mary Ann",
    "Jos\u00e9", "Zo\u00eb",  "Ren\u00e9e", "Jean-Luc", "Li",         "Wei",        "Anh",
    "Fatima",    "Mohammed",  "Aaliyah",    "DeShawn",  "Priya",      "Raj",        "Olga",
    "Dmitri",    "Guadalupe", "Jes\u00fas", "Xiomara",  "Mar\u00eda", "Bj\u00f6rn", "Siobhan",
    "Kwame",     "Nkechi",
};

static const char *const LAST[] = {
    "Smith",      "Johnson",    "Williams",   "Brown",       "Jones",    "Garc\u00eda", "Miller",
    "Davis",      "Rodriguez",  "Martinez",   "Hernandez",   "Lopez",    "Gonzalez",    "Wilson",
    "Anderson",   "Thomas",     "Taylor",     "Moore",       "Jackson",  "Martin",      "Lee",
    "Perez",      "Thompson",   "White",      "Harris",      "Sanchez",  "Clark",       "Ramirez",
    "Lewis",      "Robinson",   "Walker",     "Young",       "Allen",    "King",        "Wright",
    "Scott",      "Torres",     "Nguyen",     "Hill",        "Flores",   "Green",       "Adams",
    "Nelson",     "Baker",      "Hall",       "Rivera",      "Campbell", "Mitchell",    "Carter",
    "Roberts",    "G\u00f3mez", "Phillips",   "Evans",       "Turner",   "Diaz",        "Parker",
    "O'Neill",    "O'Brien",    "McDonald",   "St. John",    "van Dyke", "Kim",         "Chen",
    "Patel",      "Khan",       "Nu\u00f1ez", "M\u00fcller", "Kowalski", "Okafor",      "Tran",
    "Washington", "Begay",
};

static const char *const STATES[] = {
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID",
    "IL", "IN", "IA", "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO",
    "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA",
    "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
};

#define COUNT(table) (sizeof(table) / sizeof(table)[0])

static const char USAGE[] =
    "usage: bench_generate --rows N [--batch B] [--seed S] [--typos T] [--duplicates D]\n"
    "       bench_generate --rows N [--batch B] [--seed S] --requests K\n"
    "The first writes CSV; T of a million rows have an SSN tail that is none, D of a million are\n"
    "there twice. The second writes K bodies of lookups, each for somebody of the batch.\n";

struct options {
    uint64_t rows, batch, seed, typos, duplicates, requests;
};

struct person {
    uint64_t id;
    const char *first, *last, *second_last; /* the latter NULL for most */
    const char *born;
    char tail[5];
    const char *state;
    bool eligible;
};

static char dates[DAYS][11]; /* ISO 8601 */

static void fill_dates(void)
{
    static const unsigned char LENGTHS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year = FIRST_YEAR, month = 1, day = 1;

    for (size_t i = 0; i < DAYS; i++) {
        snprintf(dates[i], sizeof dates[i], "%04u-%02u-%02u", year % 10000, month % 100, day % 100);
        if (++day > LENGTHS[month - 1] + (month == 2 && year % 4 == 0 ? 1u : 0u)) {
            day = 1;
            month = month % 12 + 1;
            year += month == 1;
        }
    }
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static const char *pick(const char *const *table, size_t count, uint32_t random)
{
    uint64_t x = random & 0xFFFF, y = random >> 16;

    return table[x * y / 65536 * count / 65536];
}

static void make_person(struct person *p, const struct options *o, uint64_t row)
{
    p->id = o->batch * (o->rows / LEAVING) + row;
    uint64_t a = mix(p->id ^ mix(o->seed)), b = mix(a), pair = p->id % PAIRS * STEP % PAIRS;
    uint64_t answers = (o->batch + a % CHANGING) / CHANGING; /* that it had before this one */

    p->first = pick(FIRST, COUNT(FIRST), (uint32_t)a);
    p->last = pick(LAST, COUNT(LAST), (uint32_t)(a >> 32));
    p->second_last = b % 16 == 0 ? LAST[b / 16 % COUNT(LAST)] : NULL;
    p->born = dates[pair / TAILS];
    for (int i = 3; i >= 0; i--, pair /= 10)
        p->tail[i] = (char)('0' + pair % 10);
    p->state = STATES[(b >> 16) % COUNT(STATES)];
    p->eligible = ((b >> 40) + answers) % 2;
}

/* ---- writing ---- */

static char *put(char *at, const char *text)
{
    return stpcpy(at, text);
}

static char *put_number(char *at, uint64_t n)
{
    char digits[20];
    size_t i = sizeof digits;

    do
        digits[--i] = (char)('0' + n % 10);
    while (n /= 10);
    memcpy(at, digits + i, sizeof digits - i);
    return at + (sizeof digits - i);
}

static char *put_last_name(char *at, const struct person *p)
{
    at = put(at, p->last);
    return p->second_last ? put(put(at, "-"), p->second_last) : at;
}

static void write_batch(const struct options *o)
{
    struct person p = {0};
    char line[256];

    fputs("id,first_name,last_name,birth_date,ssn_last4,eligible,state\n", stdout);
    for (uint64_t row = 0; row < o->rows; row++) {
        uint64_t luck = mix(mix(o->seed ^ o->batch) + row) % MILLION;

        make_person(&p, o, row);
        if (luck < o->typos)
            p.tail[luck % 4] = 'O';
        char *at = put(put_number(line, p.id), ",");
        at = put(put(at, p.first), ",");
        at = put(put_last_name(at, &p), ",");
        at = put(put(at, p.born), ",");
        at = put(put(at, p.tail), p.eligible ? ",true," : ",false,");
        at = put(put(at, p.state), "\n");
        fwrite(line, 1, (size_t)(at - line), stdout);
        if (luck >= MILLION - o->duplicates)
            fwrite(line, 1, (size_t)(at - line), stdout);
    }
}

static void write_requests(const struct options *o)
{
    struct person p = {0};
    char line[512];

    for (uint64_t i = 0; i < o->requests; i++) {
        make_person(&p, o, mix(~o->seed + i) % o->rows);
        char *at = put(put(line, "{\"key\":{\"first_name\":\""), p.first);
        at = put_last_name(put(at, "\",\"last_name\":\""), &p);
        at = put(put(at, "\",\"dob\":\""), p.born);
        at = put(put(at, "\",\"ssn_last4\":\""), p.tail);
        at = put(at, "\"}}\n");
        fwrite(line, 1, (size_t)(at - line), stdout);
    }
}

/* ---- arguments ---- */

static bool read_number(uint64_t *out, const char *text)
{
    char *end;

    *out = text ? strtoull(text, &end, 10) : 0;
    return text && *text >= '0' && *text <= '9' && !*end;
}

static bool read_options(struct options *o, char **argv)
{
    const struct {
        const char *name;
        uint64_t *value;
    } rows[] = {
        {"--rows", &o->rows},   {"--batch", &o->batch},           {"--seed", &o->seed},
        {"--typos", &o->typos}, {"--duplicates", &o->duplicates}, {"--requests", &o->requests}};
    bool good = true;

    for (; good && *argv; argv += 2) {
        size_t i = 0;
        while (i < COUNT(rows) && strcmp(*argv, rows[i].name) != 0)
            i++;
        good = i < COUNT(rows) && read_number(rows[i].value, argv[1]);
    }
    return good && o->rows > 0 && o->rows <= PAIRS && o->typos <= MILLION &&
           o->duplicates <= MILLION;
}

int main(int argc, char **argv)
{
    struct options o = {.seed = 1};

    (void)argc;
    if (!read_options(&o, argv + 1)) {
        fputs(USAGE, stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    fill_dates();
    if (o.requests)
        write_requests(&o);
    else
        write_batch(&o);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    perror("bench_generate");
    return 1;
}
