// The signs of TeX by their names.

const SIGNS = `
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ
nu ν xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω Gamma Γ
Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω aleph ℵ hbar ℏ ell ℓ Re ℜ Im ℑ wp ℘ imath ı
jmath ȷ infty ∞ partial ∂ nabla ∇ emptyset ∅ varnothing ∅ angle ∠ triangle △ degree ° prime ′ top ⊤ bot ⊥ dagger †
pm ± mp ∓ times × div ÷ cdot ⋅ ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ odot ⊙ cup ∪ cap ∩ sqcup ⊔
sqcap ⊓ vee ∨ lor ∨ wedge ∧ land ∧ setminus ∖ wr ≀ leq ≤ le ≤ geq ≥ ge ≥ neq ≠ ne ≠ ll ≪ gg ≫ approx ≈ sim ∼ simeq ≃
cong ≅ equiv ≡ propto ∝ asymp ≍ doteq ≐ prec ≺ succ ≻ preceq ⪯ succeq ⪰ in ∈ ni ∋ notin ∉ subset ⊂ supset ⊃ subseteq ⊆
supseteq ⊇ subsetneq ⊊ mid ∣ nmid ∤ parallel ∥ perp ⊥ models ⊨ vdash ⊢ dashv ⊣ forall ∀ exists ∃ nexists ∄ neg ¬ lnot ¬
therefore ∴ because ∵ to → rightarrow → leftarrow ← gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔
implies ⟹ impliedby ⟸ iff ⟺ longrightarrow ⟶ longleftarrow ⟵ Longrightarrow ⟹ Longleftarrow ⟸ mapsto ↦ uparrow ↑
downarrow ↓ updownarrow ↕ Uparrow ⇑ Downarrow ⇓ hookrightarrow ↪ nearrow ↗ searrow ↘ rightharpoonup ⇀
rightleftharpoons ⇌ ldots … dots … cdots ⋯ vdots ⋮ ddots ⋱ dotsc … dotsb ⋯ langle ⟨ rangle ⟩ lceil ⌈ rceil ⌉ lfloor ⌊
rfloor ⌋ lvert | rvert | vert | lVert ‖ rVert ‖ Vert ‖ | ‖ { { } } lbrace { rbrace } lbrack [ rbrack ] backslash \\
% % $ $ # # & & _ _ colon : surd √ flat ♭ natural ♮ sharp ♯ square □ blacksquare ■ checkmark ✓ copyright © pounds £
euro € S § P ¶ ddagger ‡ lessgtr ≶ gtrless ≷ lesssim ≲ gtrsim ≳ nleq ≰ ngeq ≱ triangleq ≜ coloneqq ≔ upharpoonright ↾
`
  .trim()
  .split(/\s+/);

export const SYMBOLS: Record<string, string> = Object.create(null);
for (let at = 0; at < SIGNS.length; at += 2) {
  SYMBOLS[SIGNS[at]] = SIGNS[at + 1];
}
