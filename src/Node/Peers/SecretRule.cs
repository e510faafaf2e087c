using System.IO.Pipelines;
using KvStore.Protocol;

namespace KvStore.Node.Peers;

/// <summary>What a node that accepts a connection wants to see of the cluster secret, the same on its peer and on its binary port.</summary>
internal static class SecretRule
{
    private const string Remedy = "give all nodes the same security.clusterSecretFile, or the same KVSTORE__Security__ClusterSecret";

    /// <summary>Who said hello proves that it knows our secret: with a proof it may go on, with a refusal it may not.</summary>
    /// <param name="transport">The connection.</param>
    /// <param name="received">Its hello.</param>
    /// <param name="secret">Ours, if there is one.</param>
    /// <param name="self">Our name.</param>
    /// <param name="stop">Bounds the time.</param>
    public static async Task<(HandshakeProof? Proof, HelloRefused? Refused)> ApplyAsync(
        IDuplexPipe transport, ReceivedHello received, ClusterSecret? secret, string self, CancellationToken stop)
    {
        string other = Excerpt.Of(received.Peer?.NodeName ?? received.Client!.ClientName);
        bool offers = !(received.Peer?.Credentials ?? received.Client!.Credentials).IsEmpty;
        if (secret is null)
        {
            return offers ? Refuse($"{other} has a cluster secret and {self} has none") : default;
        }

        if (!offers)
        {
            // Clients need none: whatever they may do is not the cluster's secret.
            return received.Client is not null ? default : Refuse($"{self} has a cluster secret and {other} has none, or is of an earlier build");
        }

        return await Handshake.ChallengeAsync(transport, received, secret, stop).ConfigureAwait(false) is { } proof
            ? (proof, null)
            : Refuse($"{other} does not prove that it knows the cluster secret of {self}");
    }

    private static (HandshakeProof?, HelloRefused?) Refuse(string what) =>
        (null, new HelloRefused(HelloRefusal.Unauthenticated, $"{what}; {Remedy}"));
}
