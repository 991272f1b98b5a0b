#include "base/cmd_internal.h"

#include <string.h>

/* Programs of bash, zsh and fish out of the tables. Files are completed wherever a word can be one;
 * a value that is neither a file nor one of a few words is left to who types. */

static bool is_first_of_group(const struct cmd *commands, const struct cmd *c)
{
    size_t len = strcspn(c->name, " ");

    for (const struct cmd *before = commands; before < c; before++)
        if (before->summary && strcspn(before->name, " ") == len &&
            strncmp(before->name, c->name, len) == 0)
            return false;
    return c->summary != NULL;
}

static void bash_first_words(const struct cmd *commands)
{
    for (const struct cmd *c = commands; c->name; c++)
        if (is_first_of_group(commands, c))
            printf("%.*s ", (int)strcspn(c->name, " "), c->name);
    printf("help");
}

/* One line of a `case` for each first word that has second ones. */
static void bash_second_words(const struct cmd *commands)
{
    for (const struct cmd *c = commands; c->name; c++) {
        char word[64] = "";
        bool any = false;

        if (is_first_of_group(commands, c))
            snprintf(word, sizeof word, "%.*s", (int)strcspn(c->name, " "), c->name);
        for (const struct cmd *other = commands; *word && other->name; other++)
            if (other->summary && cmd_is_in_group(other, word)) {
                if (!any)
                    printf("    %s) second='", word);
                printf("%s%s", any ? " " : "", strchr(other->name, ' ') + 1);
                any = true;
            }
        if (any)
            printf("' ;;\n");
    }
}

static bool is_file(const struct cmd_option *o)
{
    static const char *const FILES[] = {"FILE", "DIR", "PATH", "[NAME=]PATH"};

    for (size_t i = 0; o->metavar && i < sizeof FILES / sizeof FILES[0]; i++)
        if (strcmp(o->metavar, FILES[i]) == 0)
            return true;
    return false;
}

static void bash_options(const struct cmd *c)
{
    printf("    '%s')\n        options='", c->name);
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (!(o->type & CMD_SECRET))
            printf("--%s ", o->name);
    printf("--config --help'\n        files='");
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (is_file(o))
            printf("--%s ", o->name);
    printf("--config'\n        values='");
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (cmd_type_of(o) != CMD_FLAG && !is_file(o) && !(o->type & CMD_SECRET))
            printf("--%s ", o->name);
    printf("'\n        ;;\n");
}

static void print_bash(const struct cmd_program *p)
{
    printf("# Completion of %s for bash: source <(%s completion bash)\n", p->name, p->name);
    printf("_%s()\n{\n", p->name);
    printf("    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local n=1 second='' command options='' files='' values='' first_words='");
    bash_first_words(p->commands);
    printf("'\n    COMPREPLY=()\n"
           "    if [[ ${COMP_WORDS[1]} == help ]]; then\n"
           "        n=2\n"
           "    fi\n"
           "    if [[ $COMP_CWORD -le $n ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$first_words\" -- \"$word\")\n"
           "        return\n"
           "    fi\n"
           "    command=${COMP_WORDS[n]}\n"
           "    case $command in\n");
    bash_second_words(p->commands);
    printf("    esac\n"
           "    if [[ $COMP_CWORD -gt n+1 ]]; then\n"
           "        [[ \" $second \" == *\" ${COMP_WORDS[n+1]} \"* ]] && command+=\" "
           "${COMP_WORDS[n+1]}\"\n"
           "        second=''\n"
           "    fi\n"
           "    case $command in\n");
    for (const struct cmd *c = p->commands; c->name; c++)
        if (c->summary)
            bash_options(c);
    printf("    esac\n"
           "    if [[ \" $files \" == *\" $before \"* ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
           "    elif [[ \" $values \" == *\" $before \"* ]]; then\n"
           "        return\n"
           "    elif [[ $word == -* || -n $second ]]; then\n"
           "        mapfile -t COMPREPLY < <(compgen -W \"$second $options\" -- \"$word\")\n"
           "    else\n"
           "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
           "    fi\n"
           "}\n"
           "complete -o filenames -F _%s %s\n",
           p->name, p->name);
}

/* ---- zsh and fish: each word with what it is for ---- */

/* A text in single quotes; `apostrophe` is how the shell has one in there. */
static void print_quoted(const char *text, const char *apostrophe)
{
    for (; *text; text++)
        if (*text == '\'')
            fputs(apostrophe, stdout);
        else
            putchar(*text);
}

/* A word of a list of _describe. */
static void zsh_word(const char *dashes, const char *word, size_t len, const char *help)
{
    printf(" '%s%.*s:", dashes, (int)len, word);
    print_quoted(help, "'\\''");
    putchar('\'');
}

static void zsh_first_words(const struct cmd *commands)
{
    for (const struct cmd *c = commands; c->name; c++)
        if (is_first_of_group(commands, c))
            zsh_word("", c->name, strcspn(c->name, " "), strchr(c->name, ' ') ? "" : c->summary);
    zsh_word("", "help", 4, "Help on a command");
}

static void zsh_second_words(const struct cmd *commands)
{
    for (const struct cmd *c = commands; c->name; c++) {
        const char *second = strchr(c->name, ' ');

        if (c->summary && second) {
            printf("    %.*s) second+=(", (int)(second - c->name), c->name);
            zsh_word("", second + 1, strlen(second + 1), c->summary);
            printf(") ;|\n");
        }
    }
}

static void zsh_options(const struct cmd *c)
{
    printf("    '%s')\n        options=(", c->name);
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (!(o->type & CMD_SECRET))
            zsh_word("--", o->name, strlen(o->name), o->help);
    printf(" '--config:configuration file' '--help:what this command does')\n        files='");
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (is_file(o))
            printf("--%s ", o->name);
    printf("--config'\n        values='");
    for (const struct cmd_option *o = c->options; o && o->name; o++)
        if (cmd_type_of(o) != CMD_FLAG && !is_file(o) && !(o->type & CMD_SECRET))
            printf("--%s ", o->name);
    printf("'\n        ;;\n");
}

static void print_zsh(const struct cmd_program *p)
{
    printf(
        "#compdef %s\n# Completion of %s for zsh: source <(%s completion zsh), behind compinit; or "
        "_%s in a directory of $fpath\n",
        p->name, p->name, p->name, p->name);
    printf("_%s()\n{\n"
           "    local before=${words[CURRENT-1]} n=2 command='' files='' values=''\n"
           "    local -a first second options\n    first=(",
           p->name);
    zsh_first_words(p->commands);
    printf(")\n    [[ ${words[2]} == help ]] && n=3\n"
           "    if (( CURRENT <= n )); then\n"
           "        _describe command first\n"
           "        return\n"
           "    fi\n"
           "    command=${words[n]}\n"
           "    case $command in\n");
    zsh_second_words(p->commands);
    printf("    esac\n"
           "    if (( CURRENT > n + 1 )); then\n"
           "        (( ${second[(I)${(b)words[n+1]}:*]} )) && command+=\" ${words[n+1]}\"\n"
           "        second=()\n"
           "    fi\n"
           "    case $command in\n");
    for (const struct cmd *c = p->commands; c->name; c++)
        if (c->summary)
            zsh_options(c);
    printf("    esac\n"
           "    if [[ \" $files \" == *\" $before \"* ]]; then\n"
           "        _files\n"
           "    elif [[ \" $values \" == *\" $before \"* ]]; then\n"
           "        return 1\n"
           "    elif [[ ${words[CURRENT]} == -* ]] || (( $#second )); then\n"
           "        _describe command second -- options\n"
           "    else\n"
           "        _files\n"
           "    fi\n"
           "}\n"
           "if [[ $funcstack[1] == _%s ]]; then\n    _%s \"$@\"\nelse\n    compdef _%s %s\nfi\n",
           p->name, p->name, p->name, p->name);
}

/* A line of fish. `when` and `name` are the condition. */
static void fish_line(const struct cmd_program *p, const char *when, const char *name, size_t len)
{
    printf("complete -c %s -n \"__%s_%s '%.*s'\"", p->name, p->name, when, (int)len, name);
}

static void fish_help(const char *help)
{
    printf(" -d '");
    print_quoted(help, "\\'");
    printf("'\n");
}

/* The first words, and of each group the second ones. */
static void fish_words(const struct cmd_program *p)
{
    for (const struct cmd *c = p->commands; c->name; c++) {
        size_t len = strcspn(c->name, " ");

        if (is_first_of_group(p->commands, c)) {
            fish_line(p, "stands", "", 0);
            printf(" -f -a '%.*s'", (int)len, c->name);
            fish_help(c->name[len] ? "" : c->summary);
        }
        if (c->summary && c->name[len]) {
            fish_line(p, "stands", c->name, len);
            printf(" -f -a '%s'", c->name + len + 1);
            fish_help(c->summary);
        }
    }
    fish_line(p, "stands", "", 0);
    printf(" -f -a 'help'");
    fish_help("Help on a command");
}

static void fish_options(const struct cmd_program *p, const struct cmd *c)
{
    for (const struct cmd_option *o = c->options; o && o->name; o++) {
        if (o->type & CMD_SECRET)
            continue;
        fish_line(p, "is", c->name, strlen(c->name));
        printf(" -l %s%s", o->name,
               cmd_type_of(o) == CMD_FLAG ? ""
               : is_file(o)               ? " -r -F"
                                          : " -x");
        fish_help(o->help);
    }
    fish_line(p, "is", c->name, strlen(c->name));
    printf(" -l config -r -F -d 'configuration file'\n");
    fish_line(p, "is", c->name, strlen(c->name));
    printf(" -l help -d 'what this command does'\n");
}

static void print_fish(const struct cmd_program *p)
{
    printf("# Completion of %s for fish: %s completion fish | source\n"
           "function __%s_words\n"
           "    set -l words (commandline -opc)\n"
           "    set -e words[1]\n"
           "    test \"$words[1]\" = help; and set -e words[1]\n"
           "    string join -- \\n $words\n"
           "end\n"
           "# Is this all that is written yet?\n"
           "function __%s_stands\n"
           "    set -l words (__%s_words)\n"
           "    test \"$words\" = \"$argv[1]\"\n"
           "end\n"
           "# Is this the command?\n"
           "function __%s_is\n"
           "    set -l words (__%s_words)\n"
           "    set -l command \"$words[1]\"\n"
           "    contains -- \"$words[1] $words[2]\"",
           p->name, p->name, p->name, p->name, p->name, p->name, p->name);
    for (const struct cmd *c = p->commands; c->name; c++)
        if (c->summary && strchr(c->name, ' '))
            printf(" '%s'", c->name);
    printf("; and set command \"$words[1] $words[2]\"\n"
           "    test \"$command\" = \"$argv[1]\"\n"
           "end\n");
    fish_words(p);
    for (const struct cmd *c = p->commands; c->name; c++)
        if (c->summary)
            fish_options(p, c);
}

enum st cmd_completion(const struct cmd_args *args)
{
    static const struct {
        const char *name;
        void (*print)(const struct cmd_program *p);
    } SHELLS[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    const char *shell = cmd_operand(args, 0);

    for (size_t i = 0; i < sizeof SHELLS / sizeof SHELLS[0]; i++)
        if (strcmp(shell, SHELLS[i].name) == 0) {
            SHELLS[i].print(args->program);
            return ST_OK;
        }
    return st_fail(ST_USAGE, NULL, "\"%.64s\" is none of bash, zsh and fish", shell);
}
