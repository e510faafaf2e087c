using KvStore.Protocol;
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
        Assert.Null(book.Admit(N2, []));
        var syncs = files.Counters.Syncs;
        Assert.Null(book.Admit(N2, []));
        Assert.Equal(syncs, files.Counters.Syncs);
    }

    [Fact]
    public void B2_who_cannot_be_written_down_is_not_let_in_however_often_it_asks()
    {
        var (files, book) = Open();
        files.FillUp();
        Assert.True(Assert.Throws<StorageException>(() => book.Admit(N2, [])).IsFull);
        Assert.True(Assert.Throws<StorageException>(() => book.Admit(N2, [])).IsFull);
        files.CapacityBytes = long.MaxValue;
        Assert.Null(book.Admit(N2, []));
        Assert.Equal(HelloRefusal.UuidChanged, PeerBook.Open(files, Folder).Admit(N2 with { Uuid = Guid.Empty }, []));
    }

    /// <summary>A full disk without the block that was set aside: it went with a start that was killed half way.</summary>
    [Fact]
    public void B2_a_change_that_was_killed_half_way_leaves_its_block_to_the_next()
    {
        for (var crashIn = 1; ; crashIn++)
        {
            var (files, book) = Open();
            Assert.Null(book.Admit(N2, []));
            files.FillUp();
            files.CrashIn = crashIn;
            try
            {
                book.Admit(N2 with { Incarnation = 8, Process = 8 }, []);
                Assert.InRange(crashIn, 4, 20);
                return;
            }
            catch (SimulatedCrashException)
            {
                files.CrashProcess();
            }

            Assert.Null(PeerBook.Open(files, Folder).Admit(N2 with { Incarnation = 9, Process = 9 }, []));
        }
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

    [Theory]
    [InlineData(7 + PeerBook.MaxIncarnationJump, null)]
    [InlineData(8 + PeerBook.MaxIncarnationJump, HelloRefusal.IncarnationTooHigh)]
    [InlineData(1ul << 62, HelloRefusal.IncarnationTooHigh)]
    public void D1_an_incarnation_jumps_only_so_far(ulong incarnation, HelloRefusal? expected) =>
        AdmittedAfterN2(N2 with { Incarnation = incarnation, Process = 1002 }, expected);

    [Theory]
    [InlineData(PeerBook.MaxIncarnationJump, null)]
    [InlineData(PeerBook.MaxIncarnationJump + 1, HelloRefusal.IncarnationTooHigh)]
    public void D1_nor_does_the_first_one_that_is_heard_and_what_is_refused_leaves_nothing(ulong incarnation, HelloRefusal? expected)
    {
        var (files, book) = Open();
        Assert.Equal(expected, book.Admit(N2 with { Incarnation = incarnation }, []));
        Assert.Equal(expected, book.Recognize(N2.Node, N2.Uuid, incarnation));
        Assert.Equal(expected is null ? 0 : 2, book.IncarnationsRefused);
        Assert.Equal(expected is null ? HelloRefusal.IncarnationTooOld : null, PeerBook.Open(files, Folder).Admit(N2, []));
    }

    [Fact]
    public void A1_a_folder_that_does_not_remember_the_start_we_met_is_an_old_copy_whatever_its_number()
    {
        // The copy was taken before start 7, and has been started often since.
        FolderStart[] copy = [new(5, 1000), new(6, 1), .. Enumerable.Range(7, 60).Select(n => new FolderStart((ulong)n, (ulong)n))];
        for (ulong number = 7; number < 67; number++)
        {
            AdmittedAfterN2(
                N2 with { Incarnation = number, Process = number }, HelloRefusal.IncarnationTooOld, [.. copy.Where(s => s.Incarnation <= number)]);
        }

        AdmittedAfterN2(N2 with { Incarnation = 20, Process = 20 }, null, [new(6, 1), new(7, 1001), new(20, 20)]);
    }

    [Fact]
    public void A_start_by_a_build_that_keeps_no_record_is_remembered_by_its_number() =>
        AdmittedAfterN2(N2 with { Incarnation = 9, Process = 9 }, null, [new(6, 0), new(7, 0), new(8, 8), new(9, 9)]);

    [Fact]
    public void A6_who_answers_is_recognized_by_uuid_and_number_when_it_does_not_say_its_process()
    {
        var (_, book) = Open();
        Assert.Null(book.Recognize(N2.Node, Guid.Empty, 1));
        Assert.Null(book.Admit(N2, []));
        Assert.Null(book.Recognize(N2.Node, N2.Uuid, 7));
        Assert.Null(book.Recognize(N2.Node, N2.Uuid, 8));
        Assert.Equal(HelloRefusal.UuidChanged, book.Recognize(N2.Node, Guid.Empty, 7));
        Assert.Equal(HelloRefusal.IncarnationTooOld, book.Recognize(N2.Node, N2.Uuid, 6));
    }

    [Fact]
    public void A_peer_is_admitted_only_when_that_is_durable()
    {
        var (files, book) = Open();
        files.FailSyncIn = 1;
        Assert.Throws<StorageException>(() => book.Admit(N2, []));

        (files, book) = Open();
        Assert.Null(book.Admit(N2, []));
        files.Crash(CrashMode.LoseUnsynced);
        Assert.Equal(HelloRefusal.UuidChanged, PeerBook.Open(files, Folder).Admit(N2 with { Uuid = Guid.Empty }, []));
    }

    [Fact]
    public void Peers_do_not_disturb_each_other()
    {
        var (files, book) = Open();
        Assert.Null(book.Admit(N2, []));
        Assert.Null(book.Admit(new PeerIdentity(new NodeId(3), Guid.Empty, 1, 5), []));
        book = PeerBook.Open(files, Folder);
        Assert.Null(book.Admit(N2, []));
        Assert.Equal(HelloRefusal.IncarnationTooOld, book.Admit(new PeerIdentity(new NodeId(3), Guid.Empty, 1, 6), []));
    }

    // The answer must not depend on whether we were restarted in between.
    private static void AdmittedAfterN2(PeerIdentity peer, HelloRefusal? expected, IReadOnlyList<FolderStart>? starts = null)
    {
        var (files, book) = Open();
        Assert.Null(book.Admit(N2, []));
        Assert.Equal(expected, PeerBook.Open(files, Folder).Admit(peer, starts ?? []));
        if (expected is not null)
        {
            Assert.Equal(expected, book.Admit(peer, starts ?? []));
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
