using KvStore.Node.Peers;
using KvStore.Protocol;

namespace KvStore.Node.Tests.Peers;

public sealed class PeerLaneTests
{
    [Fact]
    public void A_payload_goes_only_to_a_process_that_knows_its_level()
    {
        var lane = new PeerLane(maxBytes: 100);
        lane.Begin(FeatureLevel.Max);
        Assert.True(lane.TryEnqueue(new byte[1], FeatureLevel.Max));

        // The connection broke, and an older build answers now. Whoever encoded for the other one finds out here.
        lane.Begin(FeatureLevel.First);
        Assert.False(lane.TryDequeue(out _));
        Assert.False(lane.TryEnqueue(new byte[2], FeatureLevel.Max));
        Assert.True(lane.TryEnqueue(new byte[3], FeatureLevel.First));
        Assert.True(lane.TryDequeue(out var payload));
        Assert.Equal(3, payload.Length);
    }
}
