using System.Buffers;
using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using KvStore.Storage;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>The virtual node that a group has outside the ring.</summary>
public sealed class SystemVirtualNodeTests
{
    private const uint Group = 7;
    private static readonly int System = SystemVirtualNode.Of(new GroupId(Group));
    private static readonly int[] Ring = [0, 1, 2, 3];

    [Fact]
    public void No_key_leads_to_it()
    {
        Assert.Equal(16_391, System);
        Assert.True(SystemVirtualNode.Is(SystemVirtualNode.Of(new GroupId(0))));
        Assert.False(SystemVirtualNode.Is(Limits.SlotCount - 1));
    }

    /// <summary>Members that are earlier builds have no such node: their hash, and what they read in a snapshot, must not differ.</summary>
    [Fact]
    public void While_it_is_empty_a_group_is_as_if_it_had_none()
    {
        var with = new Machine([.. Ring, System]);
        var without = new Machine(Ring);
        foreach (Machine machine in new[] { with, without })
        {
            machine.ApplyAt(Start + 1, Put("a", "1", Id(1, 1)), Put("b", "2"), Increment("n", id: UserKey(9)));
            machine.ApplyAt(Start + 2, Delete("b", Id(1, 2, ackedBelow: 2)));
        }

        Assert.Equal(without.Hash(), with.Hash());
        Assert.Equal(FileOf(without), FileOf(with));
        Assert.Equal(Ring, NamesOf(with));
    }

    [Fact]
    public void What_it_holds_is_hashed_written_and_restored()
    {
        var machine = new Machine([.. Ring, System]);
        machine.ApplyAt(Start + 1, Put("a", "1"));
        ulong before = machine.Hash();
        Apply(machine, Put("canary", "x", Id(1, 1)));
        Assert.NotEqual(before, machine.Hash());
        Assert.Equal([.. Ring, System], NamesOf(machine));

        var disk = new MemoryFileSystem(1);
        disk.Put("restored/file", FileOf(machine));
        KvStateMachine restored = SnapshotRestore.Now(new SlabArena(), disk, "restored/file");
        using TableSnapshot rows = restored.Table.Capture();
        Assert.Equal(machine.Hash(), restored.Hash(rows));
        Assert.Equal(ReadOutcome.Found, restored.Table.Get(System, "canary"u8, new ArrayBufferWriter<byte>(), out _, out _));

        // The same bytes as a user's key are another key.
        Assert.Equal(ReadOutcome.Absent, restored.Table.Get(VirtualNodeOf("canary"u8), "canary"u8, new ArrayBufferWriter<byte>(), out _, out _));
    }

    [Fact]
    public void Emptied_again_it_leaves_no_trace()
    {
        var machine = new Machine([.. Ring, System]);
        Apply(machine, Put("canary", "x"));
        Apply(machine, Delete("canary"));
        Assert.Equal(Ring, NamesOf(machine));
        var idle = new Machine(Ring);
        idle.NoOpAt(Start + 1);
        idle.NoOpAt(Start + 2);
        Assert.Equal(idle.Hash(), machine.Hash());
    }

    [Fact]
    public void A_group_may_have_no_other()
    {
        var machine = new Machine(SystemVirtualNode.Of(new GroupId(0)));
        machine.NoOpAt(Start + 1);
        Assert.Empty(NamesOf(machine));
        var disk = new MemoryFileSystem(1);
        disk.Put("restored/file", FileOf(machine, group: 0));
        KvStateMachine restored = SnapshotRestore.Now(new SlabArena(), disk, "restored/file");
        using TableSnapshot rows = restored.Table.Capture();
        Assert.Equal(machine.Hash(), restored.Hash(rows));
    }

    private static void Apply(Machine machine, KvRequest request)
    {
        // No slot leads there, so nobody writes such a command yet: [code, no id, body, virtual node] behind the version.
        var payload = new ArrayBufferWriter<byte>();
        payload.Write<byte>([2]);
        var writer = new MessagePackWriter(payload);
        writer.WriteArrayHeader(4);
        writer.Write((uint)request.Operation.Code);
        writer.WriteNil();
        writer.Write(request.Operation.Body.Span);
        writer.Write(System);
        writer.Flush();
        var entry = new Entry(
            6, machine.State.AppliedIndex + 1, EntryKind.Command, 1, (machine.GroupTime + 1) << 16, 1, payload.WrittenMemory);
        var results = new List<CommandResult>();
        machine.State.Apply(entry, results);
        Assert.Equal(ErrorCode.None, Assert.Single(results).Code);
    }

    private static IReadOnlyList<int> NamesOf(Machine machine)
    {
        using TableSnapshot rows = machine.State.Table.Capture();
        return machine.State.VirtualNodesIn(rows);
    }

    private static byte[] FileOf(Machine machine, uint group = Group)
    {
        var disk = new MemoryFileSystem(1);
        using TableSnapshot rows = machine.State.Table.Capture();
        var metadata = new SnapshotMetadata(machine.State.AppliedIndex, 6, machine.State.LastRevision, ConfState.Of(new ReplicaId(1)));
        var header = new SnapshotHeader(group, 1, 1, metadata, machine.GroupTime, machine.State.VirtualNodesIn(rows));
        using var writer = new SnapshotWriter(disk, "snap", header, rows, machine.State.CaptureSections());
        while (!writer.Step(1 << 20))
        {
        }

        return disk.ReadAll($"snap/{writer.Finish()}");
    }
}
