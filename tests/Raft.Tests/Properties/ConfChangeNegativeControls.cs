namespace KvStore.Raft.Tests.Properties;

/// <summary>Changes that skip the joint phase must be told apart by the overlap that <see cref="ConfChangeTests"/> asks for.</summary>
public sealed class ConfChangeNegativeControls
{
    [Fact]
    public void Two_voters_at_once_without_a_joint_phase_would_not_overlap()
    {
        ConfState before = ConfState.Of(new ReplicaId(1), new ReplicaId(2), new ReplicaId(3));
        ConfState after = ConfState.Of(new ReplicaId(1), new ReplicaId(4), new ReplicaId(5));
        Assert.True(ConfChangeTests.CanDecideApart(before, after));
    }
}
