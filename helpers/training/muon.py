"""Muon for the matrices of the layers beside AdamW for the rest, at a price that any processor can
pay."""

from collections import defaultdict

import torch

from helpers.training import processes


class Muon(torch.optim.Muon):
    """torch's Muon, which orthogonalises in bfloat16 and matrix by matrix; here in ``dtype``, equal
    shapes as one stack. Of a model that is cut into shares each process gathers the matrices and
    keeps its part.

    A processor without instructions for bfloat16 multiplies such matrices a hundred times slower
    than in float32.
    """

    def __init__(self, params, dtype: torch.dtype = torch.float32, **options):
        super().__init__(params, **options)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """m = 0.95 m + 0.05 g; w = (1 - lr decay) w - 0.2 lr sqrt(longer side) orthogonal(n), where
        n = 0.95 m + 0.05 g (Nesterov) and the factor brings it to the size of AdamW's update."""
        for group in self.param_groups:
            stacks = defaultdict(list)
            for parameter in group["params"]:
                stacks[parameter.shape].append(parameter)
            for shape, parameters in stacks.items():
                ahead = []
                for p in parameters:
                    momentum = self.state[p].setdefault("momentum_buffer", torch.zeros_like(p))
                    momentum.lerp_(p.grad, 1 - group["momentum"])
                    nesterov = p.grad.lerp(momentum, group["momentum"])
                    ahead.append(processes.whole(nesterov))
                stack = torch.stack(ahead)
                updates = orthogonal(
                    stack.to(self.dtype), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                rate = group["lr"] * 0.2 * max(shape) ** 0.5  # match_rms_adamw
                for p, update in zip(parameters, updates.to(stack.dtype), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"])
                    p.add_(processes.share(update, p), alpha=-rate)


def orthogonal(
    stack: torch.Tensor,
    coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
    steps: int = 5,
    eps: float = 1e-7,
) -> torch.Tensor:
    """Each matrix of a stack (matrices, rows, columns) with its singular values brought near 1, by
    the Newton-Schulz iteration of Muon (Jordan 2024)."""
    if stack.shape[1] > stack.shape[2]:
        return orthogonal(stack.mT, coefficients, steps, eps).mT
    a, b, c = coefficients
    x = stack / stack.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x


class MuonAdamW(torch.optim.Optimizer):
    """Muon (Jordan 2024) for the matrices of the layers, AdamW for embeddings and norms, as one
    optimizer.

    One learning rate serves both: Muon's update is scaled to the size of AdamW's (arXiv:2502.16982,
    section 2.2).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        lr: float,
        weight_decay: float,
        dtype: torch.dtype = torch.float32,
    ):
        inside = {True: [], False: []}
        for name, parameter in model.named_parameters():
            inside[parameter.ndim == 2 and ".layers." in name].append(parameter)
        self.parts = (
            Muon(
                inside[True],
                dtype,
                lr=lr,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                inside[False], lr=lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True
            ),
        )
        super().__init__([{"params": inside[True]}, {"params": inside[False]}], {"lr": lr})
        self._share_groups()

    def _share_groups(self) -> None:
        """The groups of this optimizer are those of its parts: a schedule that sets their rates
        reaches the parts."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure=None) -> None:
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()
