namespace KvStore.Protocol.Tests;

/// <summary>D1; controls with a proof that leaves something out: HandshakeNegativeControls.</summary>
public sealed class HandshakeAttackTests
{
    [Fact]
    public void D1_two_nodes_with_one_secret_let_each_other_in() => Assert.True(HandshakeAttacks.Succeeds(HandshakeAttacks.NoneAsync));

    [Fact]
    public void D1_what_a_node_that_dialled_has_said_is_worth_nothing_again() => Assert.False(HandshakeAttacks.Succeeds(HandshakeAttacks.ReplayTheDiallerAsync));

    [Fact]
    public void D1_what_a_node_that_accepted_has_said_is_worth_nothing_again() => Assert.False(HandshakeAttacks.Succeeds(HandshakeAttacks.ReplayTheAcceptorAsync));

    [Fact]
    public void D1_a_nodes_own_number_and_proof_given_back_are_worth_nothing() => Assert.False(HandshakeAttacks.Succeeds(HandshakeAttacks.ReflectAsync));

    [Fact]
    public void D1_another_answer_under_the_proof_of_the_true_one_is_worth_nothing() => Assert.False(HandshakeAttacks.Succeeds(HandshakeAttacks.ExchangeTheAnswerAsync));
}
