// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The first process of the kernel that scripts/check-vm boots: runs the programs that /list names,
 * one after the other, and then ends the machine.
 *
 * A line of /list is a test's name, and what to run for it: a program and its arguments, a blank
 * between. All that is written goes to the second serial port, whose first is the kernel's:
 *
 *   @@begin NAME
 *   what the program wrote
 *   @@end NAME STATUS    its exit status, or 128 and the signal that ended it
 *
 * and at last "@@done": without that line the kernel, or this program, came to a bad end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PORT "/dev/ttyS1"
#define LIST "/list"
#define WORDS_MAX 16u
#define CANNOT_RUN 126

struct place {
	const char *type;
	const char *path;
};

static const struct place places[] = {
	{ "devtmpfs", "/dev" },
	{ "proc", "/proc" },
	{ "sysfs", "/sys" },
	{ "tmpfs", "/tmp" },
};

/* There is nobody to return to. */
static _Noreturn void end_machine(void)
{
	sync();
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

/* The kernel's log is all there is to say it in, and may not be there yet. */
static _Noreturn void give_up(const char *what)
{
	int error = errno;
	int log = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (log >= 0) {
		dprintf(log, "check-vm: %s: %s\n", what, strerror(error));
		close(log);
	}
	end_machine();
}

static void mount_all(void)
{
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		mkdir(places[i].path, 0755);
		if (mount(places[i].type, places[i].path, places[i].type, 0, NULL) < 0)
			give_up(places[i].path);
	}
}

/* As a file: what is written comes out as it is. */
static void open_port(void)
{
	struct termios raw;
	int port = open(PORT, O_RDWR | O_NOCTTY | O_CLOEXEC);
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (port < 0 || nothing < 0 || tcgetattr(port, &raw) < 0)
		give_up(PORT);
	cfmakeraw(&raw);
	if (tcsetattr(port, TCSANOW, &raw) < 0)
		give_up(PORT);
	if (dup2(nothing, STDIN_FILENO) < 0 || dup2(port, STDOUT_FILENO) < 0 ||
	    dup2(port, STDERR_FILENO) < 0)
		give_up(PORT);
	setvbuf(stdout, NULL, _IOLBF, 0);
}

static _Noreturn void become(char *const *words)
{
	setenv("PATH", "/", 1);
	setenv("LC_ALL", "C", 1);
	setenv("MALLOC_PERTURB_", "165", 1);
	setenv("top_builddir", "/", 1);
	execv(words[0], words);
	printf("%s: %s\n", words[0], strerror(errno));
	fflush(stdout);
	_exit(CANNOT_RUN);
}

/* Waits for it, and ends what it has left running. */
static int end_of(pid_t child)
{
	int status = 0;
	int other;

	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	kill(-1, SIGKILL);
	while (waitpid(-1, &other, 0) > 0)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* words: the name, then what to run; NULL at the end. */
static void run(char *const *words)
{
	pid_t child;
	int status;

	printf("@@begin %s\n", words[0]);
	fflush(stdout);
	child = fork();
	if (child < 0)
		give_up("fork");
	if (child == 0)
		become(words + 1);
	status = end_of(child);
	printf("\n@@end %s %d\n", words[0], status);
	fflush(stdout);
}

static void run_line(char *line)
{
	char *words[WORDS_MAX + 1] = { NULL };
	unsigned int count = 0;
	char *rest = NULL;
	char *word = strtok_r(line, " \n", &rest);

	for (; word && count < WORDS_MAX; word = strtok_r(NULL, " \n", &rest))
		words[count++] = word;
	if (count >= 2)
		run(words);
}

static void run_list(FILE *list)
{
	char line[1024];

	while (fgets(line, sizeof(line), list))
		run_line(line);
	fclose(list);
}

int main(void)
{
	FILE *list;

	mount_all();
	open_port();
	list = fopen(LIST, "re");
	if (list)
		run_list(list);
	else
		give_up(LIST);
	printf("@@done\n");
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
	end_machine();
}
