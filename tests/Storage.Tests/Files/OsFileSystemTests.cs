using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace KvStore.Storage.Tests;

public sealed class OsFileSystemTests : IDisposable
{
    private const int NoSuchFile = 2;
    private const int BadDescriptor = 9;
    private const int InvalidArgument = 22;
    private const int NoSpace = 28;

    private readonly string _directory = Directory.CreateTempSubdirectory("kvstore-files-").FullName;
    private readonly OsFileSystem _files = new();

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void A_sync_that_fails_is_an_exception_with_its_errno_where_the_runtime_hides_it()
    {
        // A device that cannot be synced: fdatasync answers EINVAL.
        using IFile device = _files.Open("/dev/full");
        StorageException failure = Assert.Throws<StorageException>(device.Sync);
        Assert.Equal((InvalidArgument, "/dev/full"), (failure.Errno, failure.Path));

        // The same through the runtime returns as if nothing had happened. The day this fails, the runtime has been repaired.
        using Microsoft.Win32.SafeHandles.SafeFileHandle handle = File.OpenHandle("/dev/full", FileMode.Open, FileAccess.ReadWrite);
        RandomAccess.FlushToDisk(handle);
    }

    [Fact]
    public void A_sync_of_a_descriptor_that_is_gone_fails()
    {
        Assert.Equal(BadDescriptor, OsFileSystem.SyncDescriptor(1 << 20));
    }

    [Fact]
    public void Storage_calls_no_sync_of_the_runtime()
    {
        using FileStream stream = File.OpenRead(typeof(OsFileSystem).Assembly.Location);
        using PEReader pe = new(stream);
        MetadataReader metadata = pe.GetMetadataReader();
        List<string> called = [];
        foreach (MemberReferenceHandle handle in metadata.MemberReferences)
        {
            MemberReference member = metadata.GetMemberReference(handle);
            if (member.Parent.Kind == HandleKind.TypeReference)
            {
                TypeReference type = metadata.GetTypeReference((TypeReferenceHandle)member.Parent);
                called.Add($"{metadata.GetString(type.Name)}.{metadata.GetString(member.Name)}");
            }
        }

        Assert.Contains("RandomAccess.Write", called);
        Assert.DoesNotContain("RandomAccess.FlushToDisk", called);
        Assert.DoesNotContain(called, name => name.EndsWith("Stream.Flush", StringComparison.Ordinal));
    }

    [Fact]
    public void A_full_disk_is_an_exception_with_its_errno()
    {
        using IFile full = _files.Open("/dev/full");
        Assert.Equal(NoSpace, Assert.Throws<StorageException>(() => full.Write(new byte[10], 0)).Errno);
    }

    [Fact]
    public void Files_are_written_read_renamed_listed_and_deleted()
    {
        string path = $"{_directory}/b.log";
        using (IFile file = _files.Create(path))
        {
            file.Allocate(8192);
            file.Write("hello"u8, 4096);
            file.Sync();
            Assert.Equal(8192, file.Length);
            byte[] buffer = new byte[8192];
            Assert.Equal(4096, file.Read(buffer, 4096));
            Assert.True(buffer.AsSpan().StartsWith("hello"u8));
            Assert.Equal(0, buffer[5]);
            file.Allocate(4096);
            Assert.Equal(4096, file.Length);
        }

        using (_files.Create($"{_directory}/a.log"))
        {
        }

        _files.SyncDirectory(_directory);
        Assert.Equal((string[])["a.log", "b.log"], _files.ListFiles(_directory));
        _files.Rename(path, $"{_directory}/a.log");
        Assert.Equal((string[])["a.log"], _files.ListFiles(_directory));
        _files.Delete($"{_directory}/a.log");
        Assert.Empty(_files.ListFiles(_directory));
        Assert.Empty(_files.ListFiles($"{_directory}/nothing"));
    }

    [Fact]
    public void What_is_not_there_or_there_already_is_a_storage_exception()
    {
        Assert.Throws<StorageException>(() => _files.Open($"{_directory}/none"));
        Assert.Equal(NoSuchFile, Assert.Throws<StorageException>(() => _files.SyncDirectory($"{_directory}/none")).Errno);
        _files.Create($"{_directory}/one").Dispose();
        Assert.Throws<StorageException>(() => _files.Create($"{_directory}/one"));
    }

    [Fact]
    public void A_lock_has_one_holder()
    {
        string path = _directory;
        IDisposable? first = _files.TryLock(path);
        Assert.NotNull(first);
        Assert.Null(_files.TryLock(path));
        first.Dispose();
        using IDisposable? second = _files.TryLock(path);
        Assert.NotNull(second);
        Assert.Throws<StorageException>(() => _files.TryLock($"{_directory}/none"));
    }

    [Fact]
    public void The_log_lives_on_a_real_disk()
    {
        string directory = $"{_directory}/n1/wal";
        for (int start = 0; start < 5; start++)
        {
            using WriteAheadLog log = WriteAheadLog.Open(_files, directory, LogBench.Identity, LogBench.Small);
            GroupLog group = log.OpenGroup(1, ModelGroup.StartingMark);
            Assert.Equal(5UL + (ulong)start * 40, group.LastIndex);
            for (int i = 0; i < 40; i++)
            {
                WalSubmission submission = new(group.OnDurable);
                submission.Append(group, null, [LogFiles.Entry(group.LastIndex + 1, (byte)i)]);
                Assert.True(log.TrySubmit(submission));
                Assert.True(log.Gather());
                log.Write();
                log.Sync();
                log.Complete();
            }

            Assert.Equal(40 * (start + 1), group.Entries(6, group.LastIndex + 1, long.MaxValue).Count);
        }
    }
}
