using System.Buffers.Binary;
using KvStore.Protocol;

namespace KvStore.Replication.Tests.Identity;

public class StartRecordTests
{
    private const string Folder = "/data/n2";
    private static readonly ClusterLayout Layout = new("local", 64, 4, 3, ["n1", "n2", "n3"]);
    private static readonly NodeId N1 = new(1);

    [Fact]
    public void A_folder_remembers_its_last_starts_that_said_hello()
    {
        var files = Disk();
        for (ulong start = 1; start <= 100; start++)
        {
            Start(files, process: 1000 + start);
        }

        FolderStart[] expected = [.. Enumerable.Range(37, 64).Select(n => new FolderStart((ulong)n, (ulong)(1000 + n))), new(101, 7)];
        Assert.Equal(expected, Open(files, process: 7).Starts);
    }

    [Fact]
    public void A_start_that_said_nothing_pushes_no_other_out()
    {
        var files = Disk();
        Start(files, process: 1001);
        for (int failed = 0; failed < 200; failed++)
        {
            Open(files, process: 1);
        }

        Assert.Equal([new FolderStart(1, 1001), new FolderStart(202, 7)], Open(files, process: 7).Starts);
    }

    [Fact]
    public void The_start_that_a_peer_let_in_last_is_remembered_however_long_it_is_away()
    {
        var files = Disk();
        Start(files, process: 1001).LetInBy(N1);
        for (ulong start = 2; start <= 200; start++)
        {
            Start(files, process: 1000 + start);
        }

        Assert.Equal(new FolderStart(1, 1001), Open(files, process: 7).Starts[0]);
    }

    [Fact]
    public void Starts_of_a_build_that_keeps_no_record_are_remembered_by_number()
    {
        // A folder as such a build leaves it, three starts old; then one start of ours, and two of that build again.
        var files = Disk();
        Open(files, process: 1);
        Open(files, process: 2);
        Open(files, process: 3);
        files.Take($"{Folder}/starts");
        Start(files, process: 1004);
        var kept = files.ReadAll($"{Folder}/starts");
        Open(files, process: 1);
        Open(files, process: 2);
        files.Put($"{Folder}/starts", kept);

        Assert.Equal(
            [new(1, 0), new(2, 0), new(3, 0), new(4, 1004), new(5, 0), new(6, 0), new FolderStart(7, 9)], Open(files, process: 9).Starts);
    }

    [Fact]
    public void A_power_cut_at_any_step_of_a_start_makes_no_start_that_any_process_may_have_been()
    {
        for (var seed = 0; seed < 20; seed++)
        {
            for (var step = 1; ; step++)
            {
                var files = Disk(seed);
                Start(files, process: 1001);
                files.CrashIn = step;
                try
                {
                    Start(files, process: 1002);
                }
                catch (SimulatedCrashException)
                {
                    files.Crash();
                    var after = Open(files, process: 1003).Starts;
                    Assert.Equal(new FolderStart(1, 1001), after[0]);
                    Assert.DoesNotContain(after, start => start.Process == 0);
                    continue;
                }

                Assert.True(step > 9, "three files are replaced");
                break;
            }
        }
    }

    /// <summary>
    /// A start is cut short anywhere, and the build before, which keeps no record, runs in the folder meanwhile, once or more often: it may take
    /// the very number of the start that was cut short. Others have met it, and must let the folder in again.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void A_folder_in_which_the_build_before_ran_after_a_start_that_was_cut_short_is_let_in(int starts)
    {
        for (var step = 1; ; step++)
        {
            var files = Disk(step);
            var peers = PeerBook.Open(files, "/data/n1");
            Run(files, peers, process: 1001);
            files.CrashIn = step;
            try
            {
                Run(files, peers: null, process: 1002);
            }
            catch (SimulatedCrashException)
            {
                files.Crash(CrashMode.LoseUnsynced);
                var met = new PeerBook[starts];
                for (var start = 0; start < starts; start++)
                {
                    // A peer that meets this one and none of those behind it.
                    met[start] = PeerBook.Open(Copy(files), "/data/n1");
                    Assert.Null(Admit(met[start], StartOfTheBuildBefore(files), process: 5000 + (ulong)start, starts: []));
                }

                var identity = Open(files, process: 1003);
                for (var start = 0; start < starts; start++)
                {
                    var refusal = Admit(met[start], identity.Incarnation, process: 1003, identity.Starts);
                    Assert.True(refusal is null, $"step {step}: {refusal} by whom start {start} of {starts} has met");
                }

                continue;
            }

            Assert.True(step > 12, "starts, identity and the mark of the log are replaced, then starts again");
            break;
        }
    }

    /// <summary>The same without the build before, and the folder an old copy: a start that nobody has met vouches for no other of its number.</summary>
    [Fact]
    public void A1_an_old_copy_whose_start_is_cut_short_is_not_let_in()
    {
        for (var step = 1; ; step++)
        {
            var files = Disk(step);
            var peers = PeerBook.Open(files, "/data/n1");
            Run(files, peers, process: 1001);
            var copy = Copy(files);
            Run(files, peers, process: 1002);
            copy.Put("/data/n1/peers", files.ReadAll("/data/n1/peers"));
            copy.SyncAllNames();
            copy.CrashIn = step;
            try
            {
                Run(copy, peers: null, process: 1003);
            }
            catch (SimulatedCrashException)
            {
                copy.Crash(CrashMode.LoseUnsynced);
                for (ulong start = 0; start < 3; start++)
                {
                    Assert.Equal(HelloRefusal.IncarnationTooOld, RunIn(copy, process: 1004 + start));
                }

                continue;
            }

            Assert.True(step > 12, "starts, identity and the mark of the log are replaced, then starts again");
            break;
        }
    }

    [Fact]
    public void A1_a_folder_that_was_refused_is_not_started_again()
    {
        var files = Disk();
        var identity = Start(files, process: 1);
        identity.MarkRefused("the data directory of n2 is an old copy");
        files.Crash(CrashMode.LoseUnsynced);
        var error = Assert.Throws<IdentityException>(() => Open(files, process: 2));
        Assert.Contains("old copy", error.Message);
        Assert.Contains("newest folder of n2", error.Message);
    }

    [Fact]
    public void The_format_is_the_one_that_is_drawn()
    {
        var files = Disk();
        Start(files, process: 0x11).LetInBy(N1);
        var golden =
            "4B56535441525400" + "0100" + "0000" + "34000000" // magic, version, zero, length 52
            + "0100000000000000" // counted
            + "01000000" + "0100000000000000" + "1100000000000000"
            + "01000000" + "01000000" + "0100000000000000" + "1100000000000000";
        Assert.Equal(golden, Convert.ToHexString(files.ReadAll($"{Folder}/starts"))[..^8]);
    }

    /// <summary>A process from its start until a peer has judged it; null: it was let in, or met nobody.</summary>
    private static HelloRefusal? Run(MemoryFileSystem files, PeerBook? peers, ulong process)
    {
        var identity = Open(files, process);
        files.Put($"{Folder}/wal/wal-0000000000000001.log", new byte[8]);
        identity.MarkLogCreated();
        identity.SayHello();
        return peers is null ? null : Admit(peers, identity.Incarnation, process, identity.Starts);
    }

    private static HelloRefusal? RunIn(MemoryFileSystem files, ulong process) => Run(files, PeerBook.Open(files, "/data/n1"), process);

    private static HelloRefusal? Admit(PeerBook peers, ulong incarnation, ulong process, IReadOnlyList<FolderStart> starts) =>
        peers.Admit(new PeerIdentity(new NodeId(2), Guid.Empty, incarnation, process), starts);

    /// <summary>What that build does with a folder: it counts in the identity, says there that the log exists, and knows no other file.</summary>
    private static ulong StartOfTheBuildBefore(MemoryFileSystem files)
    {
        var payload = SmallFile.Read(files, $"{Folder}/identity", "KVIDENT\0"u8, 1, 1)!.Payload;
        const int IncarnationAt = 1 + 4 + 16;
        var incarnation = BinaryPrimitives.ReadUInt64LittleEndian(payload.AsSpan(IncarnationAt)) + 1;
        BinaryPrimitives.WriteUInt64LittleEndian(payload.AsSpan(IncarnationAt), incarnation);
        payload[0] = 1;
        SmallFile.Replace(files, Folder, "identity", "KVIDENT\0"u8, 1, payload);
        return incarnation;
    }

    private static MemoryFileSystem Copy(MemoryFileSystem files)
    {
        var copy = Disk();
        string[] paths =
        [
            .. new[] { "identity", "starts", "wal/wal-0000000000000001.log" }.Select(name => $"{Folder}/{name}"), "/data/n1/peers",
        ];
        foreach (var path in paths.Where(files.Exists))
        {
            copy.Put(path, files.ReadAll(path));
        }

        copy.SyncAllNames();
        return copy;
    }

    private static NodeIdentity Start(MemoryFileSystem files, ulong process)
    {
        var identity = Open(files, process);
        identity.SayHello();
        return identity;
    }

    private static NodeIdentity Open(MemoryFileSystem files, ulong process) =>
        NodeIdentity.Open(files, Folder, "n2", Layout, Guid.Empty, process);

    private static MemoryFileSystem Disk(int seed = 1)
    {
        var files = new MemoryFileSystem(seed);
        files.CreateDirectory(Folder);
        files.CreateDirectory("/data/n1");
        files.SyncAllNames();
        return files;
    }
}
