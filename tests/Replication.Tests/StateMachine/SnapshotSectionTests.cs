using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>Records and floors in a snapshot.</summary>
public sealed class SnapshotSectionTests
{
    private const byte Kind = 2;
    private const string Client1 = "C41000000000000000000000000000000001";

    [Fact]
    public void The_level_is_in_the_state_from_the_second_on()
    {
        var machine = new Machine();
        ulong before = machine.Hash();
        Assert.DoesNotContain(machine.State.CaptureSections(), s => s.Kind == LevelSection.Kind);
        machine.State.Apply(machine.NoOp(Machine.Start << 16) with { Payload = LevelRaise.Encode(2) }, null);
        Assert.Equal(2, machine.State.Level);
        SnapshotSection section = Assert.Single(machine.State.CaptureSections(), s => s.Kind == LevelSection.Kind);
        Assert.Equal("010200", Convert.ToHexString(section.Data.Span));
        Assert.Equal(2, machine.Restarted().State.Level);
        Assert.NotEqual(before, machine.Hash());
        Assert.NotEqual(machine.Hash(), machine.Restarted(sections => [.. sections.Where(s => s.Kind != LevelSection.Kind)]).Hash());
    }

    [Theory]
    [InlineData("020200")]
    [InlineData("0102")]
    [InlineData("010100")]
    [InlineData("010300")]
    public void A_level_section_that_this_build_does_not_write_stops_the_node(string data)
    {
        var section = new SnapshotSection(0, LevelSection.Kind, Convert.FromHexString(data));
        Assert.Throws<CorruptStorageException>(() => new Machine().State.RestoreSections([section]));
    }

    [Fact]
    public void Golden_section()
    {
        var machine = new Machine();
        machine.ApplyAtClock(Start << 16, Increment("k", 7, id: Id(1, 2, ackedBelow: 2, digest: 9)));
        machine.ApplyAt(Start, Batch(Id(1, 3), Delete("k", condition: Absent), Delete("k")));
        SnapshotSection section = Assert.Single(machine.State.CaptureSections());
        Assert.Equal((VirtualNodeOf(Bytes("k")), Kind), (section.VirtualNode, section.Kind));

        // 1,000,000,000 ms + 600,000 ms; revisions are 1,000,000,000 × 65,536 plus 1 (the machine starts at plus 0).
        const string expires = "CE3BA3F1C0";
        const string revision = "CF00003B9ACA000001";
        Assert.Equal(
            "01"
            + "94" + "00" + Client1 + "02" + expires
            + "96" + "01" + Client1 + "02" + expires + "09" + "96" + "00" + "C2" + "C2" + revision + "07" + "C0"
            + "96" + "01" + Client1 + "03" + expires + "00" + "96" + "08" + "C2" + "C2" + "00" + "00" + "92"
            + "96" + "08" + "C2" + "C2" + revision + "00" + "C0"
            + "96" + "08" + "C2" + "C3" + revision + "00" + "C0",
            Convert.ToHexString(section.Data.Span));
    }

    [Fact]
    public void A_replica_without_records_has_no_sections() => Assert.Empty(new Machine().State.CaptureSections());

    [Fact]
    public void The_bytes_do_not_depend_on_the_order_in_which_the_records_came()
    {
        var ascending = new Machine();
        var descending = new Machine();
        KvRequest[] requests = [.. Enumerable.Range(1, 200).Select(i => Delete($"k{i % 7}", Id((ulong)i % 5 + 1, (ulong)i)))];
        ascending.ApplyAt(Start, requests);
        descending.ApplyAt(Start, [.. requests.Reverse()]);

        // The revisions inside differ, as they must; everything else is equal, so the lengths are.
        Assert.Equal(
            ascending.State.CaptureSections().Select(s => (s.VirtualNode, s.Data.Length)),
            descending.State.CaptureSections().Select(s => (s.VirtualNode, s.Data.Length)));
        Assert.Equal(ascending.Hash(), ascending.Restarted().Hash());
        Assert.Equal(descending.Hash(), descending.Restarted().Hash());
    }

    [Fact]
    public void Restored_sections_are_the_captured_ones_byte_for_byte()
    {
        Machine machine = WithRecords();
        Machine restarted = machine.Restarted();
        Assert.Equal(
            machine.State.CaptureSections().Select(s => (s.VirtualNode, Convert.ToHexString(s.Data.Span))),
            restarted.State.CaptureSections().Select(s => (s.VirtualNode, Convert.ToHexString(s.Data.Span))));
        Assert.Equal(
            (machine.State.RecordCount, machine.State.FloorCount, machine.State.LastRevision, machine.GroupTime),
            (restarted.State.RecordCount, restarted.State.FloorCount, restarted.State.LastRevision, restarted.GroupTime));
        Assert.Equal(machine.Hash(), restarted.Hash());
    }

    [Fact]
    public void Many_records_are_cut_into_several_sections_and_restored_from_all()
    {
        var machine = new Machine();
        for (int i = 0; i < 20_000; i += 1000)
        {
            machine.ApplyAt(Start, [.. Enumerable.Range(i, 1000).Select(n => Delete("k", Id((ulong)n % 50 + 1, (ulong)n + 1)))]);
        }

        IReadOnlyList<SnapshotSection> sections = machine.State.CaptureSections();
        Assert.True(sections.Count > 3);
        Assert.All(sections, s => Assert.InRange(s.Data.Length, 1, 512 * 1024));
        Assert.Equal(machine.Hash(), machine.Restarted().Hash());

        Assert.Throws<CorruptStorageException>(() => machine.Restarted(s => [.. s.Reverse()]));
        Assert.Throws<CorruptStorageException>(() => machine.Restarted(s => [.. s, s[^1]]));
    }

    [Fact]
    public void A_restored_replica_refuses_and_forgets_at_the_same_moments()
    {
        var machine = new Machine();
        machine.Apply(Increment("n", id: Id(1, 1, firstSent: Start + Hour)));
        machine.Apply(Increment("n", id: Id(1, 2, firstSent: Start, ackedBelow: 2)));
        machine.Apply(Increment("n", id: UserKey(7)));
        Machine restarted = machine.Restarted();
        foreach (ulong time in new[] { Start + D, Start + D + 1, Start + Hour + D, Start + Hour + D + 1 })
        {
            machine.NoOpAt(time);
            restarted.NoOpAt(time);
            Assert.Equal((machine.State.RecordCount, machine.State.FloorCount), (restarted.State.RecordCount, restarted.State.FloorCount));
            Assert.Equal(machine.Hash(), restarted.Hash());
        }

        Assert.Equal((0, 0), (restarted.State.RecordCount, restarted.State.FloorCount));
    }

    [Fact]
    public void A_restored_replica_continues_revisions_and_time_where_the_snapshot_ended()
    {
        var machine = new Machine();
        machine.ApplyAt(Start + 10, [.. Enumerable.Range(0, 70_000).Select(_ => Delete("k"))]);
        Machine restarted = machine.Restarted();
        Assert.Equal(Start + 10, restarted.GroupTime);
        Assert.Equal(machine.ApplyAtClock(1, Put("k", "v")), restarted.ApplyAtClock(1, Put("k", "v")));
        Assert.Equal(machine.GroupTime, restarted.GroupTime);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("01", "no element")]
    [InlineData("0394" + "00" + Client1 + "02" + "CE3BA3F1C0", "unknown version")]
    [InlineData("0194" + "02" + Client1 + "02" + "CE3BA3F1C0", "unknown element")]
    [InlineData("0194" + "00" + Client1 + "01" + "CE3BA3F1C0", "a floor below which nothing can be")]
    [InlineData("0194" + "00" + Client1 + "02" + "CE3B9AC9FF", "expired before group time")]
    [InlineData("0195" + "00" + Client1 + "02" + "CE3BA3F1C0" + "00", "a field too many")]
    [InlineData("0194" + "00" + Client1 + "02" + "CE3BA3F1C0" + "94" + "00" + Client1 + "03" + "CE3BA3F1C0", "two floors of one client")]
    [InlineData("0196" + "01" + Client1 + "02" + "CE3BA3F1C0" + "00" + "96" + "0B" + "C2C20000C0", "the outcome of a refused request")]
    [InlineData("0196" + "01" + Client1 + "02" + "CE3BA3F1C0" + "00" + "96" + "00" + "C2C2000090", "a batch without items")]
    [InlineData(
        "0196" + "01" + Client1 + "02" + "CE3BA3F1C0" + "00"
        + "96" + "00" + "C2C2000091" + "96" + "00" + "C2C2000091" + "96" + "00" + "C2C20000C0",
        "a batch in a batch")]
    public void A_section_that_cannot_have_been_captured_is_refused(string hex, string what)
    {
        var machine = new Machine();
        Exception? thrown = Record.Exception(
            () => machine.State.RestoreSections([new SnapshotSection(3, Kind, Convert.FromHexString(hex))]));
        Assert.True(thrown is CorruptStorageException, $"{what}: {thrown}");
    }

    [Fact]
    public void A_record_below_its_clients_floor_is_refused()
    {
        string floor = "94" + "00" + Client1 + "03" + "CE3BA3F1C0";
        string record = "96" + "01" + Client1 + "02" + "CE3BA3F1C0" + "00" + "96" + "00" + "C2C20000C0";
        Assert.Throws<CorruptStorageException>(
            () => new Machine().State.RestoreSections([new SnapshotSection(3, Kind, Convert.FromHexString("01" + floor + record))]));
    }

    [Fact]
    public void A_section_of_an_unknown_kind_or_a_foreign_virtual_node_is_refused()
    {
        SnapshotSection section = WithRecords().State.CaptureSections()[0];
        Assert.Throws<CorruptStorageException>(() => new Machine().State.RestoreSections([section with { Kind = 9 }]));
        Assert.Throws<CorruptStorageException>(() => new Machine().State.RestoreSections([section with { VirtualNode = 4 }]));
    }

    [Fact]
    public void The_history_of_a_group_is_in_its_snapshot_and_damage_to_it_is_noticed()
    {
        SnapshotSection section = HistorySection.Capture(virtualNode: 2, history: 0xCAFEF00D);
        Assert.Equal("010DF0FECA", Convert.ToHexString(section.Data.Span));
        var machine = new Machine();
        machine.State.RestoreSections([section]);
        Assert.Equal(0xCAFEF00D, machine.State.History);
        Assert.Equal(0xCAFEF00D, machine.Restarted().State.History);
        Assert.Throws<CorruptStorageException>(() => new Machine().State.RestoreSections([section with { Data = section.Data[..4] }]));
        Assert.Throws<CorruptStorageException>(() => new Machine().State.RestoreSections([section with { Data = new byte[5] }]));
    }

    [Fact]
    public void Sections_are_restored_once_and_into_nothing()
    {
        Machine machine = WithRecords();
        Assert.Throws<InvariantViolationException>(() => machine.State.RestoreSections(machine.State.CaptureSections()));
    }

    [Fact]
    public void Damaged_sections_are_restored_or_refused_and_nothing_else()
    {
        const int seed = 20_262;
        var random = new Random(seed);
        SnapshotSection whole = WithRecords().State.CaptureSections()[0];
        int refused = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] data = whole.Data.ToArray();
            if (round % 2 == 0)
            {
                data[random.Next(data.Length)] ^= (byte)(1 << random.Next(8));
            }
            else
            {
                data = data[..random.Next(data.Length)];
            }

            try
            {
                new Machine().State.RestoreSections([whole with { Data = data }]);
            }
            catch (CorruptStorageException)
            {
                refused++;
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, round {round}: {Convert.ToHexString(data)}: {e}");
            }
        }

        Assert.InRange(refused, 1000, 1999);
    }

    [Fact]
    public void The_hash_sees_rows_records_floors_revisions_and_time()
    {
        var hashes = new HashSet<ulong> { new Machine().Hash() };
        Action<Machine>[] differences =
        [
            m => m.ApplyAt(Start + 1, Put("k", "v")),
            m => m.ApplyAt(Start + 1, Put("k", "w")),
            m => m.ApplyAt(Start + 1, Put("l", "v")),
            m => m.ApplyAt(Start + 1, Put("k", "v", type: "text/plain")),
            m => m.ApplyAt(Start + 1, Delete("k")),
            m => m.ApplyAt(Start + 1, Delete("k"), Delete("k")),
            m => m.ApplyAt(Start + 2, Delete("k")),
            m => m.ApplyAt(Start + 1, Delete("k", Id(1, 2))),
            m => m.ApplyAt(Start + 1, Delete("k", Id(1, 3))),
            m => m.ApplyAt(Start + 1, Delete("k", Id(2, 2))),
            m => m.ApplyAt(Start + 1, Delete("k", Id(1, 2, digest: 1))),
            m => m.ApplyAt(Start + 1, Delete("k", Id(1, 2, ackedBelow: 2))),
            m => m.ApplyAt(Start + 1, Delete("k", Id(1, 2, firstSent: Start + 2))),
        ];
        foreach (Action<Machine> difference in differences)
        {
            var machine = new Machine();
            difference(machine);
            Assert.True(hashes.Add(machine.Hash()));
        }
    }

    [Fact]
    public void The_hash_of_a_known_state_is_the_same_in_every_process()
    {
        Assert.Equal(Known, WithRecords().Hash());
    }

    [Fact]
    public void A_hash_in_small_steps_is_the_hash_at_once_and_takes_many()
    {
        var machine = new Machine();
        for (ulong i = 1; i <= 2000; i++)
        {
            machine.Apply(Put($"key-{i}", new string('v', 300), Id(client: i % 7, sequence: i)));
        }

        using TableSnapshot rows = machine.State.Table.Capture();
        StateHasher hasher = machine.State.BeginHash(rows);
        ulong expected = machine.Hash();
        machine.Apply(Put("key-1", "later"));
        int steps = 1;
        while (!hasher.Step(4096))
        {
            steps++;
        }

        Assert.Equal(expected, hasher.Value);
        Assert.InRange(steps, 4, 1000);
    }

    private const ulong Known = 8192451100186797067;

    private static Machine WithRecords()
    {
        var machine = new Machine();
        machine.Apply(Put("k", "v", Id(1, 4, ackedBelow: 3)));
        machine.Apply(Put("k", "w", Id(1, 5, ackedBelow: 4), Absent));
        machine.Apply(Increment("k", id: Id(2, 1)));
        machine.Apply(Increment("n", 5, id: UserKey(77, digest: 5)));
        machine.Apply(Batch(Id(3, 2, ackedBelow: 2), Put("k", "x"), Increment("m", -4), Delete("k")));
        machine.Apply(Batch(Id(3, 3), Put("k", "x"), Increment("m", condition: Absent)));
        return machine;
    }
}
