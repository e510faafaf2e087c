using KvStore.Protocol;
using KvStore.Raft;
using KvStore.StateMachine;
using static KvStore.Replication.Tests.StateMachine.Machine;

namespace KvStore.Replication.Tests.StateMachine;

/// <summary>The bytes of a command payload: logs keep them, so they never change under their version.</summary>
public sealed class CommandFormatTests
{
    private const string Flat = "01";
    private const string Version = "02";
    private const string FlatIdOfClient1 = "95" + "C41000000000000000000000000000000001" + "02" + "CE3B9ACA00" + "01" + "00";

    // The digest's algorithm stands before the digest.
    private const string IdOfClient1 = "96" + "C41000000000000000000000000000000001" + "02" + "CE3B9ACA00" + "01" + "00" + "00";

    [Fact]
    public void Golden_put() =>
        AssertPayload(
            Version + "94" + "02" + IdOfClient1 + "C410" + "94" + "C4016B" + "01" + "CD03E8" + "C406" + "03612F627879" + "01",
            Put("k", "xy", Id(1, 2, firstSent: 1_000_000_000, ackedBelow: 1), Is(1000), "a/b"));

    [Fact]
    public void Golden_delete() =>
        AssertPayload(Version + "94" + "03" + "C0" + "C406" + "93" + "C4016B" + "02" + "00" + "01", Delete("k", condition: Exists));

    [Fact]
    public void Golden_increment() =>
        AssertPayload(
            Version + "94" + "04" + "C0" + "C408" + "95" + "C4016B" + "03" + "00" + "FE" + "64" + "01",
            Increment("k", -2, 100, condition: Absent));

    [Fact]
    public void Golden_batch() =>
        AssertPayload(
            Version + "95" + "05" + IdOfClient1 + "C41A" + "92"
            + "92" + "02" + "C40A" + "94" + "C4016B" + "00" + "00" + "C402" + "0076"
            + "92" + "03" + "C407" + "93" + "C4026B34" + "00" + "00" + "01" + "02",
            Batch(Id(1, 2, firstSent: 1_000_000_000, ackedBelow: 1), Put("k", "v"), Delete("k4")));

    [Fact]
    public void Flat_put() =>
        AssertFlat(
            Flat + "97" + "02" + "01" + FlatIdOfClient1 + "C4016B" + "01" + "CD03E8" + "C406" + "03612F627879",
            Put("k", "xy", Id(1, 2, firstSent: 1_000_000_000, ackedBelow: 1), Is(1000), "a/b"));

    [Fact]
    public void Flat_put_without_id_and_condition() =>
        AssertFlat(Flat + "97" + "02" + "01" + "C0" + "C4016B" + "00" + "00" + "C402" + "0076", Put("k", "v"));

    [Fact]
    public void Flat_delete() =>
        AssertFlat(Flat + "96" + "03" + "01" + "C0" + "C4016B" + "02" + "00", Delete("k", condition: Exists));

    [Fact]
    public void Flat_increment() =>
        AssertFlat(
            Flat + "98" + "04" + "01" + "C0" + "C4016B" + "03" + "00" + "FE" + "64", Increment("k", -2, 100, condition: Absent));

    [Fact]
    public void Flat_batch() =>
        AssertFlat(
            Flat + "94" + "05" + "01" + FlatIdOfClient1 + "02"
            + "97" + "02" + "01" + "C0" + "C4016B" + "00" + "00" + "C402" + "0076"
            + "96" + "03" + "02" + "C0" + "C4026B34" + "00" + "00",
            Batch(Id(1, 2, firstSent: 1_000_000_000, ackedBelow: 1), Put("k", "v"), Delete("k4")));

    [Fact]
    public void Flat_two_requests_follow_each_other_behind_one_version_byte() =>
        AssertFlat(
            Flat + "96" + "03" + "01" + "C0" + "C4016B" + "00" + "00" + "96" + "03" + "01" + "C0" + "C4016B" + "00" + "00",
            Delete("k"), Delete("k"));

    [Fact]
    public void The_writer_counts_and_starts_again_after_the_payload_is_taken()
    {
        var writer = new CommandBatchWriter(VirtualNodeCount);
        Assert.Equal((0u, 0, 0), (writer.Revisions, writer.Requests, writer.Bytes));
        writer.Add(Write(Put("a", "1")), null, FeatureLevel.Max);
        writer.Add(Write(Batch(null, Put("{t}b", "1"), Put("{t}c", "1"))), null, FeatureLevel.Max);
        Assert.Equal((3u, 2), (writer.Revisions, writer.Requests));
        int bytes = writer.Bytes;
        ReadOnlyMemory<byte> payload = writer.TakePayload();
        Assert.Equal(bytes, payload.Length);
        Assert.Equal((0u, 0, 0), (writer.Revisions, writer.Requests, writer.Bytes));

        byte[] kept = payload.ToArray();
        writer.Add(Write(Put("zzz", "zzz")), null, FeatureLevel.Max);
        Assert.Equal(kept, payload.ToArray());
        Assert.NotEqual(kept, writer.TakePayload().ToArray());
    }

    [Fact]
    public void An_empty_writer_has_no_payload() =>
        Assert.Throws<InvariantViolationException>(() => new CommandBatchWriter(VirtualNodeCount).TakePayload());

    [Theory]
    [InlineData("")]
    [InlineData("01")]
    [InlineData("03960303C0C4016B0000")]
    [InlineData("01960103C0C4016B0000")]
    [InlineData("01960603C0C4016B0000")]
    [InlineData("01967F03C0C4016B0000")]
    [InlineData("01950303C0C4016B00")]
    [InlineData("01970303C0C4016B000000")]
    [InlineData("01960303C0C4000000")]
    [InlineData("01960303C0C4016B0400")]
    [InlineData("01960303C0C4016B0000C0")]
    [InlineData("01940503C000")]
    [InlineData("01940503C001940503C001960303C0C4016B0000")]
    [InlineData("01940503C001960303" + FlatIdOfClient1 + "C4016B0000")]
    [InlineData("01970203C0C4016B0000C400")]
    [InlineData("01970203C0C4016B0000C40180")]
    [InlineData("0196030393010203C4016B0000")]
    [InlineData("02")]
    [InlineData("02949903C0C4069" + "3C4016B000001")]
    [InlineData("029403C0C40693C4016B0000")]
    [InlineData("029503C0C40693C4016B00000101")]
    [InlineData("029403C0C40692C4016B000001")]
    [InlineData("029403C0C40693C4016B040001")]
    [InlineData("029401C0C40492C4016BC201")]
    [InlineData("029403C0C40793C4016B00000001")]
    [InlineData("029403C0C40893C4016B00CC0001")]
    public void What_a_build_does_not_know_stops_the_replica(string hex)
    {
        var machine = new Machine { Level = FeatureLevel.Max };
        Entry entry = machine.EntryOf((Start + 1) << 16, Delete("k")) with { Payload = Convert.FromHexString(hex) };
        Assert.Throws<InvariantViolationException>(() => machine.State.Apply(entry, null));
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public void Every_cut_of_a_payload_stops_the_replica(ushort level)
    {
        Entry whole = new Machine { Level = level }.EntryOf(
            (Start + 1) << 16, Batch(Id(1, 1), Put("{t}k", "v", type: "a/b"), Increment("{t}n", -5)));
        for (int length = 0; length < whole.Payload.Length; length++)
        {
            Entry cut = whole with { Payload = whole.Payload[..length] };
            Assert.Throws<InvariantViolationException>(() => new Machine { Level = level }.State.Apply(cut, null));
        }
    }

    [Theory]
    [InlineData(FeatureLevel.First)]
    [InlineData(FeatureLevel.Max)]
    public void Damaged_payloads_are_applied_or_stop_the_replica_and_nothing_else(ushort level)
    {
        const int seed = 20_261;
        var random = new Random(seed);
        Entry whole = new Machine { Level = level }.EntryOf(
            (Start + 1) << 16, Put("k", "v", Id(1, 5, ackedBelow: 3)), Batch(Id(1, 1), Put("{t}k", "v"), Increment("{t}n")), Delete("k"));
        int stopped = 0;
        for (int round = 0; round < 2000; round++)
        {
            byte[] payload = whole.Payload.ToArray();
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                payload[random.Next(payload.Length)] ^= (byte)(1 << random.Next(8));
            }

            try
            {
                new Machine { Level = level }.State.Apply(whole with { Payload = payload }, new List<CommandResult>());
            }
            catch (InvariantViolationException)
            {
                stopped++;
            }
            catch (Exception e)
            {
                Assert.Fail($"seed {seed}, round {round}: {Convert.ToHexString(payload)}: {e}");
            }
        }

        Assert.InRange(stopped, 1, 1999);
    }

    private static WriteOperation Write(KvRequest request) => (WriteOperation)request.Operation;

    private static void AssertFlat(string hex, params KvRequest[] requests)
    {
        Entry entry = new Machine().EntryOf(1, requests);
        Assert.Equal(hex, Convert.ToHexString(entry.Payload.Span));
    }

    private static void AssertPayload(string hex, params KvRequest[] requests)
    {
        // "k" lies in virtual node 1 of 4, "k4" in 2.
        Assert.Equal((1, 2), (VirtualNodeOf(Bytes("k")), VirtualNodeOf(Bytes("k4"))));
        Entry entry = new Machine { Level = FeatureLevel.Max }.EntryOf(1, requests);
        Assert.Equal(hex, Convert.ToHexString(entry.Payload.Span));
    }
}
