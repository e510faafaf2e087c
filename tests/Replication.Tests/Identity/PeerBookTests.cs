using KvStore.Protocol;
using KvStore.Simulation;
using KvStore.Storage;

namespace KvStore.Replication.Tests.Identity;

public class PeerBookTests
{
    private const string Folder = "/data/n1";
    private static readonly PeerIdentity N2 = new(new NodeId(2), new Guid("22222222-2222-2222-2222-222222222222"), 7, 1001);

    [Fact]
    public void A_reconnect_of_the_same_process_is_admitted_and_costs_no_sync()
    {
        var (files, book) = Open();
        Assert.Null(book.Admit(N2));
        var syncs = files.Counters.Syncs;
        Assert.Null(book.Admit(N2));
        Assert.Equal(syncs, files.Counters.Syncs);
    }

    [Fact]
    public void A_restart_with_a_higher_incarnation_is_admitted() =>
        AdmittedAfterN2(N2 with { Incarnation = 8, Process = 1002 }, null);

    [Fact]
    public void Another_uuid_has_lost_its_data() =>
        AdmittedAfterN2(N2 with { Uuid = Guid.Empty, Incarnation = 100, Process = 1002 }, HelloRefusal.UuidChanged);

    [Fact]
    public void A_lower_incarnation_is_an_old_copy() =>
        AdmittedAfterN2(N2 with { Incarnation = 6, Process = 1002 }, HelloRefusal.IncarnationTooOld);

    [Fact]
    public void The_same_incarnation_from_another_process_is_an_old_copy() =>
        AdmittedAfterN2(N2 with { Process = 1002 }, HelloRefusal.IncarnationTooOld);

    [Fact]
    public void A_peer_is_admitted_only_when_that_is_durable()
    {
        var (files, book) = Open();
        files.FailSyncIn = 1;
        Assert.Throws<StorageException>(() => book.Admit(N2));

        (files, book) = Open();
        Assert.Null(book.Admit(N2));
        files.Crash(CrashMode.LoseUnsynced);
        Assert.Equal(HelloRefusal.UuidChanged, PeerBook.Open(files, Folder).Admit(N2 with { Uuid = Guid.Empty }));
    }

    [Fact]
    public void Peers_do_not_disturb_each_other()
    {
        var (files, book) = Open();
        Assert.Null(book.Admit(N2));
        Assert.Null(book.Admit(new PeerIdentity(new NodeId(3), Guid.Empty, 1, 5)));
        book = PeerBook.Open(files, Folder);
        Assert.Null(book.Admit(N2));
        Assert.Equal(HelloRefusal.IncarnationTooOld, book.Admit(new PeerIdentity(new NodeId(3), Guid.Empty, 1, 6)));
    }

    // The answer must not depend on whether we were restarted in between.
    private static void AdmittedAfterN2(PeerIdentity peer, HelloRefusal? expected)
    {
        var (files, book) = Open();
        Assert.Null(book.Admit(N2));
        Assert.Equal(expected, PeerBook.Open(files, Folder).Admit(peer));
        if (expected is not null)
        {
            Assert.Equal(expected, book.Admit(peer));
        }
    }

    private static (MemoryFileSystem Files, PeerBook Book) Open()
    {
        var files = new MemoryFileSystem(seed: 1);
        files.CreateDirectory(Folder);
        files.SyncAllNames();
        return (files, PeerBook.Open(files, Folder));
    }
}
