using KvStore.Protocol.Tests;
using Xunit;

namespace KvStore.Simulation.Mutants;

/// <summary>Proofs of the cluster secret that leave out something of what they must cover, each against the attack that this makes possible.</summary>
public sealed class HandshakeNegativeControls
{
    [Fact]
    public void D1_a_proof_without_the_accepting_sides_number_is_caught() =>
        Catches("proof-without-challenge", HandshakeAttacks.ReplayTheDiallerAsync);

    [Fact]
    public void D1_a_proof_without_the_diallers_number_is_caught() =>
        Catches("proof-without-hello", HandshakeAttacks.ReplayTheAcceptorAsync);

    [Fact]
    public void D1_a_proof_that_is_the_same_on_both_sides_is_caught() =>
        Catches("proof-of-either-side", HandshakeAttacks.ReflectAsync);

    [Fact]
    public void D1_a_proof_without_the_answer_is_caught() =>
        Catches("proof-without-answer", HandshakeAttacks.ExchangeTheAnswerAsync);

    private static void Catches(string fault, Func<Task<bool>> attack)
    {
        Assert.True(Mutant.With(fault, null, () => HandshakeAttacks.Succeeds(HandshakeAttacks.NoneAsync)), "with the fault no node is let in at all");
        Assert.True(Mutant.With(fault, null, () => HandshakeAttacks.Succeeds(attack)), $"{fault} was not caught");
        Assert.False(Mutant.With(null, null, () => HandshakeAttacks.Succeeds(attack)), "it succeeds without the fault");
    }
}
