
namespace KvStore.Storage.Tests;

/// <summary>The simulated disk decides what every durability test can see, so it is tested itself.</summary>
public sealed class MemoryFileSystemTests
{
    private const int Sector = 512;

    [Fact]
    public void A_power_cut_keeps_what_was_synced_and_a_kill_keeps_everything()
    {
        MemoryFileSystem disk = NewDisk(1);
        using (IFile file = disk.Create("d/f"))
        {
            disk.SyncDirectory("d");
            file.Write(Filled(1, Sector), 0);
            file.Sync();
            file.Write(Filled(2, Sector), 0);
            file.Write(Filled(3, Sector), Sector);
        }

        disk.CrashProcess();
        Assert.Equal([.. Filled(2, Sector), .. Filled(3, Sector)], disk.ReadAll("d/f"));
        disk.Crash(CrashMode.LoseUnsynced);
        Assert.Equal(Filled(1, Sector), disk.ReadAll("d/f"));
    }

    [Fact]
    public void Names_are_durable_only_after_their_directory_is_synced()
    {
        MemoryFileSystem disk = NewDisk(2);
        disk.Create("d/old").Dispose();
        disk.SyncDirectory("d");
        disk.Create("d/lost").Dispose();
        disk.Rename("d/old", "d/new");
        disk.Crash(CrashMode.LoseUnsynced);
        Assert.Equal((string[])["old"], disk.ListFiles("d"));
        disk.Rename("d/old", "d/new");
        disk.SyncDirectory("d");
        disk.Crash(CrashMode.LoseUnsynced);
        Assert.Equal((string[])["new"], disk.ListFiles("d"));
    }

    [Fact]
    public void A_directory_nobody_synced_takes_its_files_with_it()
    {
        MemoryFileSystem disk = new(3);
        disk.CreateDirectory("a/b");
        disk.Create("a/b/f").Dispose();
        disk.SyncDirectory("a/b");
        disk.Crash(CrashMode.LoseUnsynced);
        Assert.False(disk.Exists("a/b/f"));
        Assert.False(disk.Exists("a"));
    }

    [Fact]
    public void Each_unsynced_sector_is_kept_lost_or_torn_and_a_seed_repeats_itself()
    {
        byte[] first = CrashOnce(4, out DiskCounters counters);
        Assert.True(counters.SectorsKept > 5 && counters.SectorsLost > 5 && counters.SectorsTorn > 5, counters.ToString());
        Assert.Equal(first, CrashOnce(4, out _));
        Assert.NotEqual(first, CrashOnce(5, out _));
    }

    [Fact]
    public void A_failed_sync_leaves_pages_that_no_later_sync_saves()
    {
        MemoryFileSystem disk = NewDisk(6);
        using (IFile file = disk.Create("d/f"))
        {
            file.Allocate(Sector);
            file.Sync();
            disk.SyncDirectory("d");
            file.Write(Filled(7, Sector), 0);
            disk.FailSyncIn = 1;
            Assert.Equal(5, Assert.Throws<StorageException>(file.Sync).Errno);
            file.Sync();
            Assert.Equal(7, disk.ReadAll("d/f")[0]);
        }

        disk.Crash();
        Assert.Equal(0, disk.ReadAll("d/f")[0]);
    }

    [Fact]
    public void Handles_and_locks_end_with_the_process_that_held_them()
    {
        MemoryFileSystem disk = NewDisk(7);
        using IFile file = disk.Create("d/f");
        using IDisposable? held = disk.TryLock("d/LOCK");
        Assert.Null(disk.TryLock("d/LOCK"));
        disk.CrashProcess();
        Assert.Throws<InvalidOperationException>(() => file.Length);
        using IDisposable? next = disk.TryLock("d/LOCK");
        Assert.NotNull(next);

        // The dead process does not take the lock of the living one away.
        held!.Dispose();
        Assert.Null(disk.TryLock("d/LOCK"));
    }

    [Fact]
    public void A_full_disk_refuses_to_grow_a_file_and_deleting_makes_room()
    {
        MemoryFileSystem disk = NewDisk(8);
        disk.CapacityBytes = 10_000;
        using IFile file = disk.Create("d/f");
        file.Allocate(8_000);
        using IFile other = disk.Create("d/g");
        Assert.Equal(28, Assert.Throws<StorageException>(() => other.Write(Filled(1, 200), 0)).Errno);
        file.Allocate(8_100); // within its blocks
        disk.Delete("d/f");
        other.Write(Filled(1, 200), 0);
    }

    private static MemoryFileSystem NewDisk(int seed)
    {
        MemoryFileSystem disk = new(seed);
        disk.CreateDirectory("d");
        disk.SyncDirectory(".");
        return disk;
    }

    private static byte[] CrashOnce(int seed, out DiskCounters counters)
    {
        MemoryFileSystem disk = NewDisk(seed);
        using (IFile file = disk.Create("d/f"))
        {
            disk.SyncDirectory("d");
            file.Allocate(64 * Sector);
            file.Sync();
            file.Write(Filled(9, 64 * Sector), 0);
        }

        disk.Crash();
        counters = disk.Counters;
        return disk.ReadAll("d/f");
    }

    private static byte[] Filled(byte value, int length)
    {
        byte[] bytes = new byte[length];
        Array.Fill(bytes, value);
        return bytes;
    }
}
