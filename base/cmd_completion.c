#include "base/cmd_internal.h"

#include <string.h>

/* A program of bash out of the tables. Files are completed wherever a word can be one; a value that
 * is neither a file nor one of a few words is left to who types. */

static bool is_first_of_group(const struct cmd *commands, const struct cmd *c)
{
    size_t len = strcspn(c->name, " ");

    for (const struct cmd *before = commands; before < c; before++)
        if (before->summary && strcspn(before->name, " ") == len &&
            strncmp(before->name, c->name, len) == 0)
            return false;
    return c->summary != NULL;
}

static void print_first_words(const struct cmd *commands)
{
    for (const struct cmd *c = commands; c->name; c++)
        if (is_first_of_group(commands, c))
            printf("%.*s ", (int)strcspn(c->name, " "), c->name);
    printf("help");
}

/* One line of a `case` for each first word that has second ones. */
static void print_second_words(const struct cmd *commands)
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

static void print_options(const struct cmd *c)
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

void cmd_completion_bash(const struct cmd_args *args)
{
    const struct cmd_program *p = args->program;

    printf("# Completion of %s for bash: source <(%s completion bash)\n", p->name, p->name);
    printf("_%s()\n{\n", p->name);
    printf("    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    local n=1 second='' command options='' files='' values='' first_words='");
    print_first_words(p->commands);
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
    print_second_words(p->commands);
    printf("    esac\n"
           "    if [[ $COMP_CWORD -gt n+1 ]]; then\n"
           "        [[ \" $second \" == *\" ${COMP_WORDS[n+1]} \"* ]] && command+=\" "
           "${COMP_WORDS[n+1]}\"\n"
           "        second=''\n"
           "    fi\n"
           "    case $command in\n");
    for (const struct cmd *c = p->commands; c->name; c++)
        if (c->summary)
            print_options(c);
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
