// SPDX-License-Identifier: LGPL-2.1-or-later
/* The stand-in for KVM: guest_memfd files (facts F1 to F11, P1 to P6), memfds with huge pages. */
#include "fake-internal.h"
#include "support.h"

#include "uapi/kvm.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>

/* MFD_HUGE_* and MAP_HUGE_*: the logarithm of the size. */
#define HUGE_SHIFT 26
#define HUGE_MASK UINT64_C(0x3f)

/* Descriptors that are KVM's own and no files. */
static bool is_object(struct fake_kvm *fake, int fd)
{
	return fake_is_system(fake, fd) || fake_find_vm(fake, fd);
}

static uint64_t pass(struct fake_kvm *fake, uint32_t nr, const uint64_t *arg)
{
	return (uint64_t)fake->host.call(nr, arg, fake->host.opaque);
}

static int check_creation(const struct fake_kvm *fake, uint64_t size, uint64_t flags)
{
	if (flags & ~(uint64_t)fake->config.cap.guest_memfd_flags)
		return -EINVAL;
	/* F3 */
	if (flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED && fake->config.private_memory &&
	    fake->config.tracking != FAKE_TRACKING_FILE)
		return -EINVAL;
	/* F1 */
	if (size == 0 || size > INT64_MAX || !is_aligned(size, fake->config.page_size))
		return -EINVAL;
	return 0;
}

static int create_file(struct fake_kvm *fake, struct fake_file *file)
{
	static const char name[] = "fake-guest-memfd";
	/* F2: not close-on-exec */
	int fd = (int)fake_host(fake, GMEM_SYS_MEMFD_CREATE, (uint64_t)(uintptr_t)name, 0, 0, 0, 0,
				0);
	int err;

	if (fd < 0)
		return fd;
	err = (int)fake_host(fake, GMEM_SYS_FTRUNCATE, (uint64_t)fd, file->size, 0, 0, 0, 0);
	if (err == 0)
		err = fake_identify(fake, fd, &file->id);
	if (err == 0)
		return fd;
	fake_host(fake, GMEM_SYS_CLOSE, (uint64_t)fd, 0, 0, 0, 0, 0);
	return err;
}

int fake_create_guest_memfd(struct fake_kvm *fake, struct fake_vm *vm, uint64_t size,
			    uint64_t flags)
{
	struct fake_file *file;
	int fd = check_creation(fake, size, flags);

	if (fd < 0)
		return fd;
	file = support_new(sizeof(*file));
	file->vm = vm;
	file->size = size;
	file->flags = flags;
	file->busy_page = FAKE_NO_PAGE;
	fd = create_file(fake, file);
	if (fd < 0) {
		free(file);
		return fd;
	}
	/* F3 */
	if (fake->config.tracking == FAKE_TRACKING_FILE &&
	    !(flags & GMEM_KVM_GUEST_MEMFD_FLAG_INIT_SHARED))
		spans_add(&file->private_offsets, 0, size);
	file->next = fake->files;
	fake->files = file;
	return fd;
}

static bool has_reserved(const struct gmem_kvm_memory_attributes2 *attributes)
{
	size_t i;

	for (i = 0; i < sizeof(attributes->reserved) / sizeof(attributes->reserved[0]); i++)
		if (attributes->reserved[i])
			return true;
	return false;
}

/* P5 */
static int check_attributes(const struct fake_kvm *fake, const struct fake_file *file,
			    const struct gmem_kvm_memory_attributes2 *attributes)
{
	uint64_t end;

	if (!fake->config.private_memory)
		return -EINVAL;
	if (attributes->flags || has_reserved(attributes) ||
	    attributes->attributes & ~GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE)
		return -EINVAL;
	if (attributes->size == 0 ||
	    __builtin_add_overflow(attributes->offset, attributes->size, &end) || end > file->size)
		return -EINVAL;
	if (!is_aligned(attributes->offset, fake->config.page_size) ||
	    !is_aligned(attributes->size, fake->config.page_size))
		return -EINVAL;
	return 0;
}

static bool is_busy(const struct fake_file *file, uint64_t start, uint64_t end)
{
	return file->busy_page >= start && file->busy_page < end &&
	       !spans_has(&file->private_offsets, file->busy_page);
}

int fake_set_file_attributes(struct fake_kvm *fake, int fd, void *argument)
{
	struct gmem_kvm_memory_attributes2 *attributes = argument;
	struct fake_file *file = fake_find_file(fake, fd);
	uint64_t start, end;
	int err;

	if (fake->config.tracking != FAKE_TRACKING_FILE)
		return -ENOTTY;
	if (!attributes)
		return -EFAULT;
	err = check_attributes(fake, file, attributes);
	if (err < 0)
		return err;
	start = attributes->offset;
	end = start + attributes->size;
	if (!attributes->attributes) {
		spans_remove(&file->private_offsets, start, end);
	} else if (is_busy(file, start, end)) {
		attributes->error_offset = file->busy_page;
		return -EAGAIN;
	} else {
		spans_add(&file->private_offsets, start, end);
	}
	return fake_remap_file(fake, file, fd, start, end);
}

uint64_t fake_decode_huge_size(const struct fake_kvm *fake, uint64_t flags)
{
	uint64_t shift = flags >> HUGE_SHIFT & HUGE_MASK;
	uint64_t sizes = fake->config.huge_page_sizes;

	return shift ? sizes & UINT64_C(1) << shift : sizes & -sizes;
}

int64_t fake_memfd_create(struct fake_kvm *fake, const uint64_t *arg)
{
	struct fake_huge_file *file;
	uint64_t page_size;
	int64_t fd;

	if (!(arg[1] & MFD_HUGETLB))
		return (int64_t)pass(fake, GMEM_SYS_MEMFD_CREATE, arg);
	page_size = fake_decode_huge_size(fake, arg[1]);
	if (!page_size)
		return -ENODEV;
	fd = fake_host(fake, GMEM_SYS_MEMFD_CREATE, arg[0],
		       arg[1] & ~(MFD_HUGETLB | HUGE_MASK << HUGE_SHIFT), 0, 0, 0, 0);
	if (fd < 0)
		return fd;
	file = support_new(sizeof(*file));
	file->page_size = page_size;
	fake_identify(fake, (int)fd, &file->id);
	file->next = fake->huge_files;
	fake->huge_files = file;
	return fd;
}

/* F8 */
static int check_fallocate(const struct fake_kvm *fake, const struct fake_file *file,
			   const uint64_t *arg)
{
	int mode = (int)arg[1];
	uint64_t end;

	if (arg[2] > INT64_MAX || arg[3] == 0 || arg[3] > INT64_MAX)
		return -EINVAL;
	if (mode != FALLOC_FL_KEEP_SIZE && mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (__builtin_add_overflow(arg[2], arg[3], &end) || end > INT64_MAX)
		return -EFBIG;
	if (!is_aligned(arg[2], fake->config.page_size) ||
	    !is_aligned(arg[3], fake->config.page_size))
		return -EINVAL;
	if (mode == FALLOC_FL_KEEP_SIZE && end > file->size)
		return -EINVAL;
	return 0;
}

int64_t fake_fallocate(struct fake_kvm *fake, const uint64_t *arg)
{
	const struct fake_file *file = fake_find_file(fake, (int)arg[0]);

	if (is_object(fake, (int)arg[0]))
		return -ENODEV;
	if (file) {
		int err = check_fallocate(fake, file, arg);

		if (err < 0)
			return err;
	}
	return (int64_t)pass(fake, GMEM_SYS_FALLOCATE, arg);
}

int64_t fake_ftruncate(struct fake_kvm *fake, const uint64_t *arg)
{
	struct file_id id;
	uint64_t huge;

	/* F11 */
	if (is_object(fake, (int)arg[0]) || fake_find_file(fake, (int)arg[0]))
		return -EINVAL;
	if (fake_identify(fake, (int)arg[0], &id) == 0) {
		huge = fake_huge_page_size(fake, id);
		if (huge && !is_aligned(arg[1], huge))
			return -EINVAL;
	}
	return (int64_t)pass(fake, GMEM_SYS_FTRUNCATE, arg);
}

int64_t fake_fcntl(struct fake_kvm *fake, const uint64_t *arg)
{
	int command = (int)arg[1];

	/* F11 */
	if ((command == F_ADD_SEALS || command == F_GET_SEALS) &&
	    (is_object(fake, (int)arg[0]) || fake_find_file(fake, (int)arg[0])))
		return -EINVAL;
	return (int64_t)pass(fake, GMEM_SYS_FCNTL, arg);
}

int64_t fake_fstat(struct fake_kvm *fake, const uint64_t *arg)
{
	struct stat *status = (struct stat *)(uintptr_t)arg[1];
	int64_t result = (int64_t)pass(fake, GMEM_SYS_FSTAT, arg);
	struct file_id id;
	uint64_t huge;

	if (result < 0)
		return result;
	id = (struct file_id){ status->st_dev, status->st_ino };
	huge = fake_huge_page_size(fake, id);
	if (fake_file_by_id(fake, id)) {
		status->st_mode = S_IFREG | 0600;
		status->st_nlink = 1;
		status->st_blocks = 0;
		status->st_blksize = (blksize_t)fake->config.page_size;
	} else if (is_object(fake, (int)arg[0])) {
		status->st_mode = 0600;
		status->st_nlink = 1;
	} else if (huge) {
		status->st_blksize = (blksize_t)huge;
	}
	return result;
}

int64_t fake_fstatfs(struct fake_kvm *fake, const uint64_t *arg)
{
	struct statfs *status = (struct statfs *)(uintptr_t)arg[1];
	int64_t result = (int64_t)pass(fake, GMEM_SYS_FSTATFS, arg);
	struct file_id id;
	uint64_t huge;

	if (result < 0 || fake_identify(fake, (int)arg[0], &id) < 0)
		return result;
	huge = fake_huge_page_size(fake, id);
	if (fake_file_by_id(fake, id)) {
		status->f_type = (__typeof__(status->f_type))fake->config.guest_memfd_magic;
		status->f_bsize = (__typeof__(status->f_bsize))fake->config.page_size;
	} else if (is_object(fake, (int)arg[0])) {
		status->f_type = ANON_INODE_FS_MAGIC;
	} else if (huge) {
		status->f_type = HUGETLBFS_MAGIC;
		status->f_bsize = (__typeof__(status->f_bsize))huge;
	} else if (status->f_type == TMPFS_MAGIC) {
		status->f_bsize = (__typeof__(status->f_bsize))fake->config.page_size;
	}
	return result;
}

int64_t fake_write(struct fake_kvm *fake, const uint64_t *arg)
{
	if (is_object(fake, (int)arg[0]) || fake_find_file(fake, (int)arg[0]))
		return -EINVAL;
	return (int64_t)pass(fake, GMEM_SYS_WRITE, arg);
}

bool fake_kvm_is_guest_memfd(struct fake_kvm *fake, int fd)
{
	bool found;

	pthread_mutex_lock(&fake->mutex);
	found = fake_find_file(fake, fd) != NULL;
	pthread_mutex_unlock(&fake->mutex);
	return found;
}

uint64_t fake_kvm_file_flags(struct fake_kvm *fake, int fd)
{
	const struct fake_file *file;
	uint64_t flags;

	pthread_mutex_lock(&fake->mutex);
	file = fake_find_file(fake, fd);
	flags = file ? file->flags : 0;
	pthread_mutex_unlock(&fake->mutex);
	return flags;
}

uint64_t fake_kvm_file_attributes(struct fake_kvm *fake, int fd, uint64_t offset)
{
	const struct fake_file *file;
	uint64_t attributes = 0;

	pthread_mutex_lock(&fake->mutex);
	file = fake_find_file(fake, fd);
	if (file && spans_has(&file->private_offsets, offset))
		attributes = GMEM_KVM_MEMORY_ATTRIBUTE_PRIVATE;
	pthread_mutex_unlock(&fake->mutex);
	return attributes;
}

uint64_t fake_kvm_file_private_bytes(struct fake_kvm *fake, int fd)
{
	const struct fake_file *file;
	uint64_t bytes = 0;

	pthread_mutex_lock(&fake->mutex);
	file = fake_find_file(fake, fd);
	if (file)
		bytes = spans_total(&file->private_offsets, 0, UINT64_MAX);
	pthread_mutex_unlock(&fake->mutex);
	return bytes;
}

uint64_t fake_kvm_file_allocated(struct fake_kvm *fake, int fd)
{
	struct stat status;

	if (fake_host(fake, GMEM_SYS_FSTAT, (uint64_t)(int64_t)fd, (uint64_t)(uintptr_t)&status, 0,
		      0, 0, 0) < 0)
		return 0;
	return (uint64_t)status.st_blocks * 512;
}

void fake_kvm_set_busy_page(struct fake_kvm *fake, int fd, uint64_t offset)
{
	struct fake_file *file;

	pthread_mutex_lock(&fake->mutex);
	file = fake_find_file(fake, fd);
	if (file)
		file->busy_page = offset;
	pthread_mutex_unlock(&fake->mutex);
}

/* The files among all descriptors of this process; calls found() for each descriptor. */
static void for_each_open(struct fake_kvm *fake,
			  void (*found)(struct fake_file *file, int fd, void *opaque), void *opaque)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!directory)
		abort();
	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);
		struct fake_file *file;

		if (entry->d_name[0] == '.')
			continue;
		file = fake_find_file(fake, fd);
		if (file)
			found(file, fd, opaque);
	}
	closedir(directory);
}

struct descriptor_search {
	const struct fake_file *file;
	int fd;
};

static void match_file(struct fake_file *file, int fd, void *opaque)
{
	struct descriptor_search *search = opaque;

	if (file == search->file)
		search->fd = fd;
}

int64_t fake_punch(struct fake_kvm *fake, const struct fake_file *file, uint64_t offset,
		   uint64_t length)
{
	struct descriptor_search search = { file, -1 };

	for_each_open(fake, match_file, &search);
	if (search.fd < 0)
		return -EIO;
	return fake_host(fake, GMEM_SYS_FALLOCATE, (uint64_t)search.fd,
			 FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, length, 0, 0);
}

static void mark_open(struct fake_file *file, int fd, void *opaque)
{
	(void)fd;
	(void)opaque;
	file->is_open = true;
}

unsigned int fake_kvm_open_files(struct fake_kvm *fake)
{
	struct fake_file *file;
	unsigned int count = 0;

	pthread_mutex_lock(&fake->mutex);
	for (file = fake->files; file; file = file->next)
		file->is_open = false;
	for_each_open(fake, mark_open, NULL);
	for (file = fake->files; file; file = file->next)
		count += file->is_open;
	pthread_mutex_unlock(&fake->mutex);
	return count;
}
